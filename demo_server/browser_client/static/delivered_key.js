// The symmetric key that comes with a token, encrypted for a key of this one request.
//
// RSA-OAEP, although ECDH-ES would be faster: Web Crypto has no Concat KDF, so with
// ECDH-ES the agreed bits and then the key would pass through this script. Here each
// step unwraps into a key object that cannot be exported: private key -> content key ->
// MAC key, and the script sees the bits of none of them.
//
// What that is worth: a script that gets in later finds nothing to take along, only
// objects to use while it is here. One that is here at this moment could have unwrapped
// to an extractable key. So the private key is for one delivery, is stored nowhere, and
// the MAC key lives for minutes.

import { fromBase64url, hashOf, jsonFromBase64url, now, utf8 } from "./encoding.js";

const ALGORITHM = "RSA-OAEP-256";
const ENCODING = "A256GCM";
const MEMBERS = ["typ", "cty", "alg", "enc", "kid", "dsk"];
const MAX_LENGTH = 4096;

/** Make the key of one token request, and the claim for its proof that offers it. */
export async function requestKey() {
  const algorithm = {
    name: "RSA-OAEP",
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
    hash: "SHA-256",
  };
  // "unwrapKey" alone: what it opens becomes a key, never bytes.
  const pair = await crypto.subtle.generateKey(algorithm, false, ["wrapKey", "unwrapKey"]);
  const { e, kty, n } = await crypto.subtle.exportKey("jwk", pair.publicKey);
  const jwk = { e, kty, n };
  return {
    privateKey: pair.privateKey,
    thumbprint: await hashOf(JSON.stringify(jwk)),
    claim: { algs: ["HS256"], jwk, kalgs: [ALGORITHM], encs: [ENCODING] },
  };
}

/** Return the MAC key with its version and expiry, or null: then ES256 it is. */
export async function openKey(jwe, { request, accessToken, issuer, audience }) {
  try {
    const header = checkHeader(jwe, request.thumbprint);
    const { dsk } = header;
    need(dsk.iss === issuer && dsk.aud === audience);
    need(dsk.ath === (await hashOf(accessToken)));
    need(Number.isSafeInteger(dsk.exp) && dsk.exp > now());
    need(!("v" in dsk) || (Number.isSafeInteger(dsk.v) && dsk.v > 0));
    // They would answer something that was not sent.
    need(!["n", "r_as", "r"].some((name) => name in dsk));
    const key = await unwrap(jwe.split("."), request.privateKey);
    return { key, version: dsk.v ?? null, expiresAt: dsk.exp };
  } catch {
    return null;
  }
}

function checkHeader(jwe, thumbprint) {
  need(jwe.length <= MAX_LENGTH);
  const header = jsonFromBase64url(jwe.split(".")[0]);
  need(Object.keys(header).every((name) => MEMBERS.includes(name)));
  need(header.typ === "dpop-sym+jwe" && header.cty === "jwk+json");
  need(header.alg === ALGORITHM && header.enc === ENCODING);
  need(header.kid === thumbprint);
  return header;
}

async function unwrap(segments, privateKey) {
  need(segments.length === 5);
  const [encryptedKey, iv, ciphertext, tag] = segments.slice(1).map(fromBase64url);
  need(iv.length === 12 && tag.length === 16);
  const contentKey = await crypto.subtle.unwrapKey(
    ...["raw", encryptedKey, privateKey, "RSA-OAEP", "AES-GCM", false, ["unwrapKey"]],
  );
  need(contentKey.algorithm.length === 256);
  const sealed = new Uint8Array([...ciphertext, ...tag]);
  const opening = { name: "AES-GCM", iv, additionalData: utf8(segments[0]) };
  const mac = { name: "HMAC", hash: "SHA-256" };
  // The import refuses a JWK of another kty, alg, use or key_ops. Its kid stays unseen;
  // the version is the one in the header, which the same tag vouches for.
  const key = await crypto.subtle.unwrapKey(
    ...["jwk", sealed, contentKey, opening, mac, false, ["sign"]],
  );
  need(key.algorithm.length === 256);
  return key;
}

function need(condition) {
  if (!condition) throw new Error("refused");
}
