// Judge every vector, and print what was found for each, as JSON:
//   node vectors.mjs DIRECTORY
// What a vector expects is not looked at here.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { argv, stdout } from "node:process";
import {
  audienceSecret,
  compositeR,
  mixedKey,
  nonceSecret,
  responseKey,
  symmetricKey,
  ticketKey,
  ticketMacKey,
} from "./derivation.mjs";
import { openEncapsulated } from "./encapsulated.mjs";
import { fromBase64url } from "./encoding.mjs";
import { openKey } from "./key_jwe.mjs";
import { openMaterial } from "./key_material.mjs";
import { judgeKeyRequest } from "./key_request.mjs";
import { openKeyring } from "./keyring.mjs";
import { judgeRequest } from "./proof.mjs";
import { verifyResponse } from "./response.mjs";
import { openTicket } from "./ticket.mjs";

const hex = (text) => Buffer.from(text, "hex");

function or(error, action) {
  try {
    return action();
  } catch {
    return { error };
  }
}

const orRefused = (action) => or("refused", action);

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
    response_key: derived((vector) => responseKey(hex(vector.secret))),
    composite_r: derived(({ r_as: rAs, n }) => compositeR(fromBase64url(rAs), fromBase64url(n))),
    mixed_key: derived(({ random, algorithm, k_c: material }) =>
      mixedKey(hex(random), algorithm, hex(material)),
    ),
    ticket_key: (vector) => {
      const { tkid, key } = ticketKey(hex(vector.secret), vector.hour);
      return { tkid: tkid.toString("hex"), key: key.toString("hex") };
    },
    ticket_mac_key: derived((vector) =>
      ticketMacKey(hex(vector.ticket_key), fromBase64url(vector.ticket), {
        ...vector,
        clientId: vector.client_id,
      }),
    ),
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
        const { algorithm, version, key } = openKey(vector.jwe, { ...content, n: vector.n });
        return { algorithm, version, key: key.toString("hex") };
      }),
  },
  keyrings: {
    vectors: (vector, content) =>
      orRefused(() => ({ usable: openKeyring(vector.keyring, content) })),
  },
  "encapsulated-keys": {
    vectors: (vector, content) =>
      or("invalid_token", () => {
        const { algorithm, key } = openEncapsulated(vector.jwe, content);
        return { algorithm, key: key.toString("hex") };
      }),
  },
  "key-material": {
    vectors: (vector, content) =>
      or("invalid_dpop_proof", () => ({
        key: openMaterial(vector.k_jwe, content).toString("hex"),
      })),
  },
  "symmetric-proofs": { vectors: judgeRequest },
  tickets: { vectors: judgeRequest },
  "ticket-fields": {
    vectors: (vector, content) =>
      orRefused(() => {
        const { algorithm, ticket, key } = openTicket(vector.field, content);
        return { algorithm, ticket, key: key.toString("hex") };
      }),
  },
};

const found = {};
for (const [file, judges] of Object.entries(JUDGES)) {
  const content = JSON.parse(readFileSync(join(argv[2], `${file}.json`), "utf-8"));
  found[file] = {};
  for (const [list, judge] of Object.entries(judges)) {
    found[file][list] = content[list].map((vector) => judge(vector, content));
  }
}
// This file has a form of its own.
const responses = JSON.parse(readFileSync(join(argv[2], "..", "responses.json"), "utf-8"));
found.responses = responses.vectors.map((vector) => {
  const key = hex(vector.K_res ?? responses.K_res.HS256);
  try {
    verifyResponse(vector, { key, now: vector.now ?? responses.now });
    return "accepted";
  } catch {
    return "refused";
  }
});
stdout.write(JSON.stringify(found));
