// Judge every vector, and print what was found for each, as JSON:
//   node vectors.mjs DIRECTORY
// What a vector expects is not looked at here.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { argv, stdout } from "node:process";
import { audienceSecret, nonceSecret, symmetricKey } from "./derivation.mjs";
import { openKey } from "./key_jwe.mjs";
import { judgeKeyRequest } from "./key_request.mjs";
import { openKeyring } from "./keyring.mjs";
import { judgeRequest } from "./proof.mjs";

const hex = (text) => Buffer.from(text, "hex");

function orRefused(action) {
  try {
    return action();
  } catch {
    return { error: "refused" };
  }
}

const derived = (derive) => (vector) => orRefused(() => ({ key: derive(vector).toString("hex") }));

const JUDGES = {
  derivations: {
    audience_secret: derived((vector) =>
      audienceSecret({ ...vector, root: hex(vector.root), rootId: hex(vector.root_id) }),
    ),
    symmetric_key: derived((vector) =>
      symmetricKey({ ...vector, secret: hex(vector.secret), clientId: vector.client_id }),
    ),
    nonce_secret: derived((vector) => nonceSecret(hex(vector.secret))),
  },
  "key-requests": {
    vectors: (vector, content) => {
      const error = judgeKeyRequest(vector, content.proof_jwk);
      return error === null ? {} : { error };
    },
  },
  "key-jwes": {
    vectors: (vector, content) =>
      orRefused(() => {
        const { algorithm, version, key } = openKey(vector.jwe, content);
        return { algorithm, version, key: key.toString("hex") };
      }),
  },
  keyrings: {
    vectors: (vector, content) =>
      orRefused(() => ({ usable: openKeyring(vector.keyring, content) })),
  },
  "symmetric-proofs": { vectors: judgeRequest },
};

const found = {};
for (const [file, judges] of Object.entries(JUDGES)) {
  const content = JSON.parse(readFileSync(join(argv[2], `${file}.json`), "utf-8"));
  found[file] = {};
  for (const [list, judge] of Object.entries(judges)) {
    found[file][list] = content[list].map((vector) => judge(vector, content));
  }
}
stdout.write(JSON.stringify(found));
