// The other side of a test: each line of the input is a JSON array, the name of an
// operation and its arguments; the answer is a line of JSON, null where it is refused.
import { createInterface } from "node:readline";
import { stdin, stdout } from "node:process";
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
