// The other side of a test: each line of the input is a JSON array, the name of an
// operation and its arguments; the answer is a line of JSON, null where it is refused.
import { createInterface } from "node:readline";
import { stdin, stdout } from "node:process";
import { openEncapsulated, sealEncapsulated } from "./encapsulated.mjs";
import { openMaterial, sealMaterial } from "./key_material.mjs";
import { makeResponse, verifyResponse } from "./response.mjs";
import { openKey, sealKey } from "./key_jwe.mjs";
import { openKeyring, sealKeyring } from "./keyring.mjs";
import { judgeRequest, makeProof } from "./proof.mjs";

const hex = (text) => Buffer.from(text, "hex");

const OPERATIONS = {
  openKey: ({ jwe, ...asked }) => {
    const { key, ...rest } = openKey(jwe, asked);
    return { ...rest, key: key.toString("hex") };
  },
  sealKey: (values) => sealKey({ ...values, key: hex(values.key) }),
  openKeyring: ({ keyring, ...asked }) => openKeyring(keyring, asked),
  sealKeyring,
  openEncapsulated: ({ jwe, ...own }) => {
    const { algorithm, key } = openEncapsulated(jwe, own);
    return { algorithm, key: key.toString("hex") };
  },
  sealEncapsulated: (values) => sealEncapsulated({ ...values, key: hex(values.key) }),
  openMaterial: ({ k_jwe: text, ...own }) => openMaterial(text, own).toString("hex"),
  sealMaterial: (values) => sealMaterial({ ...values, material: hex(values.material) }),
  verifyResponse: ({ key, now, ...answer }) => {
    verifyResponse(answer, { key: hex(key), now });
    return true;
  },
  makeResponse: ({ key, now, ...answer }) => makeResponse(answer, { key: hex(key), now }),
  judgeRequest: ({ request, server }) => judgeRequest(request, server),
  makeProof: (values) => makeProof({ ...values, key: hex(values.key) }),
};

function answer(line) {
  const [name, values] = JSON.parse(line);
  try {
    return OPERATIONS[name](values);
  } catch {
    return null;
  }
}

for await (const line of createInterface({ input: stdin })) {
  stdout.write(`${JSON.stringify(answer(line))}\n`);
}
