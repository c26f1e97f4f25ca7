// A key for the resource server, in the token of a client.
import { KEY_LENGTHS } from "./derivation.mjs";
import { bytes32, fromBase64url, identifier, integer, toBase64url } from "./encoding.mjs";
import { decryptJwe, encryptJwe, jweHeader, publicJwk, thumbprint } from "./jose.mjs";
import { parseObject } from "./strict_json.mjs";

const MEMBERS = ["typ", "cty", "alg", "enc", "kid", "dsk", "epk"];
const NAMES = ["iss", "aud", "client_id", "jkt", "alg", "exp"];

function need(condition) {
  if (!condition) throw new Error("refused");
}

/** Return algorithm and key, or throw. The token was verified before. */
export function openEncapsulated(text, { token, private_key: jwk, ...own }) {
  const header = jweHeader(text);
  need(Object.keys(header).every((name) => MEMBERS.includes(name)));
  need(header.typ === "dpop-sym-rs+jwe" && header.cty === "jwk+json");
  need(header.alg === own.algorithm && header.enc === own.encoding);
  need(header.kid === thumbprint(jwk));
  const { dsk } = header;
  need(Object.keys(dsk).sort().join() === [...NAMES].sort().join());
  need(dsk.iss === own.issuer && dsk.aud === own.audience);
  need(token.iss === own.issuer && token.aud === own.audience);
  identifier(dsk.client_id, 2048);
  need(dsk.client_id === token.client_id && dsk.jkt === token.jkt && bytes32(dsk.jkt));
  need(integer(dsk.exp) === token.exp && dsk.alg in KEY_LENGTHS);
  const key = parseObject(decryptJwe(text, header, jwk));
  need(key.kty === "oct" && key.use === "sig" && key.alg === dsk.alg && !("kid" in key));
  need(Array.isArray(key.key_ops) && key.key_ops.join() === "verify");
  const value = fromBase64url(key.k);
  need(value.length === KEY_LENGTHS[dsk.alg]);
  return { algorithm: dsk.alg, key: value };
}

/** Encrypt a key for a resource server. */
export function sealEncapsulated({ jwk, key, algorithm, token }) {
  const dsk = {
    iss: token.iss,
    aud: token.aud,
    client_id: token.client_id,
    jkt: token.jkt,
    alg: algorithm,
    exp: token.exp,
  };
  const header = { typ: "dpop-sym-rs+jwe", cty: "jwk+json", dsk };
  const plaintext = JSON.stringify({
    kty: "oct",
    use: "sig",
    key_ops: ["verify"],
    alg: algorithm,
    k: toBase64url(key),
  });
  return encryptJwe(header, Buffer.from(plaintext), publicJwk(jwk));
}
