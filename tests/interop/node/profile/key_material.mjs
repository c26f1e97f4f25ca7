// What a client contributes to its key, as the authorization server opens it.
import { decryptJwe, encryptJwe, jweHeader, publicJwk, thumbprint } from "./jose.mjs";

const MEMBERS = ["typ", "alg", "enc", "kid", "dsk", "epk"];

function need(condition) {
  if (!condition) throw new Error("refused");
}

/** Return 32 bytes, or throw. */
export function openMaterial(text, { private_key: jwk, client_id, jkt, jti }) {
  const header = jweHeader(text);
  need(Object.keys(header).every((name) => MEMBERS.includes(name)));
  need(header.typ === "dpop-sym-entropy+jwe" && header.kid === thumbprint(jwk));
  need(header.alg === "ECDH-ES" && header.enc === "A256GCM");
  const bound = { client_id, jkt, jti };
  need(Object.keys(header.dsk).length === 3);
  need(Object.entries(bound).every(([name, value]) => header.dsk[name] === value));
  const material = decryptJwe(text, header, jwk);
  need(material.length === 32);
  return material;
}

/** Encrypt key material for the proof that will carry it. */
export function sealMaterial({ jwk, material, ...dsk }) {
  return encryptJwe({ typ: "dpop-sym-entropy+jwe", dsk }, material, publicJwk(jwk));
}
