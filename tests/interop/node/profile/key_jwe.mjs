// The JWE with a symmetric key, as the client opens it and as a server makes it.
import { KEY_LENGTHS, compositeR } from "./derivation.mjs";
import { bytes32, fromBase64url, hashOf, integer, same, toBase64url } from "./encoding.mjs";
import { decryptJwe, encryptJwe, jweHeader, publicJwk, thumbprint } from "./jose.mjs";
import { parseObject } from "./strict_json.mjs";

const MEMBERS = ["typ", "cty", "alg", "enc", "kid", "dsk", "epk"];
const ALGORITHMS = ["ECDH-ES", "ECDH-ES+A256KW", "RSA-OAEP-256"];
const KEY_ALGORITHMS = { EC: ALGORITHMS.slice(0, 2), OKP: ALGORITHMS.slice(0, 2), RSA: ALGORITHMS.slice(2) };

function need(condition) {
  if (!condition) throw new Error("refused");
}

/** Return algorithm, version and key, or throw. */
export function openKey(text, asked) {
  need(text.length <= 4096);
  const header = jweHeader(text);
  need(Object.keys(header).every((name) => MEMBERS.includes(name)));
  need(header.typ === "dpop-sym+jwe" && header.cty === "jwk+json");
  need(asked.key_algorithms.includes(header.alg) && asked.encodings.includes(header.enc));
  need(KEY_ALGORITHMS[asked.private_key.kty].includes(header.alg));
  need(header.kid === thumbprint(asked.private_key));
  const { dsk } = header;
  need(same(dsk.ath, hashOf(asked.access_token)));
  need(dsk.iss === asked.issuer && dsk.aud === asked.audience);
  need(integer(dsk.exp) > asked.now);
  const version = integer(dsk.v, { least: 1 });
  checkComposition(dsk, asked.n);
  const jwk = parseObject(decryptJwe(text, header, asked.private_key));
  need(jwk.kty === "oct" && jwk.use === "sig" && jwk.kid === String(version));
  need(Array.isArray(jwk.key_ops) && jwk.key_ops.join() === "sign");
  need(asked.algorithms.includes(jwk.alg));
  const key = fromBase64url(jwk.k);
  need(key.length === KEY_LENGTHS[jwk.alg]);
  return { algorithm: jwk.alg, version, key };
}

/** What answers an n follows from it; and there is no answer without one. */
function checkComposition(dsk, n) {
  if (n === undefined) {
    need(!["n", "r_as", "r"].some((name) => name in dsk));
    return;
  }
  need(dsk.n === n);
  need(same(bytes32(dsk.r), compositeR(bytes32(dsk.r_as), bytes32(n))));
}

/** Deliver a key to a public JWK. */
export function sealKey({ jwk, key, algorithm, issuer, audience, version, exp, accessToken }) {
  const dsk = { iss: issuer, aud: audience, v: version, exp, ath: hashOf(accessToken) };
  const plaintext = JSON.stringify({
    kty: "oct",
    use: "sig",
    key_ops: ["sign"],
    alg: algorithm,
    kid: String(version),
    k: toBase64url(key),
  });
  const header = { typ: "dpop-sym+jwe", cty: "jwk+json", dsk };
  return encryptJwe(header, Buffer.from(plaintext), publicJwk(jwk));
}
