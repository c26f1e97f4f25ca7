// Proofs of possession: asymmetric (RFC 9449 section 4.2) and symmetric.

import { hashOf, jsonToBase64url, now, randomText, toBase64url, utf8 } from "./encoding.js";

const ES256 = { name: "ECDSA", hash: "SHA-256" };

/** Make the key of a session, whose private half nobody can read, this page included. */
export async function generateKey() {
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  const pair = await crypto.subtle.generateKey(algorithm, false, ["sign"]);
  const { crv, kty, x, y } = await crypto.subtle.exportKey("jwk", pair.publicKey);
  // In the order of a thumbprint (RFC 7638); the public half is kept as text only.
  const jwk = { crv, kty, x, y };
  return { privateKey: pair.privateKey, jwk, jkt: await hashOf(JSON.stringify(jwk)) };
}

/** What makes asymmetric proofs. */
export const asymmetric = ({ privateKey, jwk }) => ({
  kind: "asymmetric",
  header: { typ: "dpop+jwt", alg: "ES256", jwk },
  sign: (input) => crypto.subtle.sign(ES256, privateKey, input),
});

/** What makes symmetric proofs, with a key that was delivered. */
export const symmetric = ({ key, version }) => ({
  kind: "symmetric",
  header: { typ: "dpop-sym+jwt", alg: "HS256", ...(version && { kid: String(version) }) },
  sign: (input) => crypto.subtle.sign("HMAC", key, input),
});

/** Make the proof for one request; it is good once. */
export async function makeProof(signer, { method, url, accessToken, nonce, claims }) {
  const { origin, pathname } = new URL(url);
  const payload = {
    jti: randomText(16),
    htm: method,
    htu: origin + pathname,
    iat: now(),
    ...(accessToken && { ath: await hashOf(accessToken) }),
    ...(nonce && { nonce }),
    ...claims,
  };
  const input = `${jsonToBase64url(signer.header)}.${jsonToBase64url(payload)}`;
  return `${input}.${toBase64url(await signer.sign(utf8(input)))}`;
}
