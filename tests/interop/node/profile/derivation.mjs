// Keys from keys: HKDF-Expand with SHA-256 (RFC 5869 section 2.3).
import { createHmac } from "node:crypto";
import { MAX_VERSION, bytes32, identifier, lp, u64 } from "./encoding.mjs";

export const KEY_LENGTHS = { HS256: 32, HS512: 64 };

export function expand(prk, info, length) {
  let [block, output] = [Buffer.alloc(0), Buffer.alloc(0)];
  for (let counter = 1; output.length < length; counter += 1) {
    const input = Buffer.concat([block, info, Buffer.from([counter])]);
    block = createHmac("sha256", prk).update(input).digest();
    output = Buffer.concat([output, block]);
  }
  return output.subarray(0, length);
}

const label = (name) => Buffer.from(`dpop-sym/1 ${name}\0`);

function secret(bytes) {
  if (bytes.length !== 32) throw new Error("not 32 bytes");
  return bytes;
}

function version(value) {
  if (!Number.isInteger(value) || value < 1 || value > MAX_VERSION) {
    throw new Error("no version");
  }
  return u64(value);
}

/** The secret that one issuer shares with one audience. */
export function audienceSecret({ root, issuer, audience, version: v, rootId }) {
  const parts = [label("aud"), lp(identifier(issuer)), lp(identifier(audience)), version(v)];
  if (rootId.length) parts.push(lp(rootId));
  return expand(secret(root), Buffer.concat(parts), 32);
}

/** The key of the symmetric proofs for one access token. */
export function symmetricKey(names) {
  const length = KEY_LENGTHS[names.algorithm];
  if (length === undefined) throw new Error("no MAC algorithm");
  bytes32(names.jkt);
  const info = Buffer.concat([
    label("sk"),
    lp(names.algorithm),
    lp(identifier(names.issuer)),
    lp(identifier(names.audience)),
    lp(identifier(names.clientId, 2048)),
    lp(names.jkt),
    version(names.version),
    lp(bytes32(names.r)),
  ]);
  return expand(secret(names.secret), info, length);
}

/** A random value from a part of each side. */
export function compositeR(rAs, n) {
  const input = Buffer.concat([label("r"), lp(secret(n))]);
  return createHmac("sha256", secret(rAs)).update(input).digest();
}

/** A key from random bytes and key material of the client. */
export function mixedKey(random, algorithm, material) {
  const length = KEY_LENGTHS[algorithm];
  if (length === undefined) throw new Error("no MAC algorithm");
  const info = Buffer.concat([label("kc"), lp(algorithm), lp(secret(material))]);
  return expand(secret(random), info, length);
}

/** Name and key of tickets, from a derivation secret and an hour. */
export function ticketKey(bytes, hour) {
  const derive = (name) => expand(secret(bytes), Buffer.concat([label(name), u64(hour)]), 32);
  return { tkid: derive("tkid").subarray(0, 4), key: derive("ticket") };
}

/** The key of the symmetric proofs under one ticket. */
export function ticketMacKey(key, ticket, { algorithm, audience, issuer, clientId, jkt }) {
  const length = KEY_LENGTHS[algorithm];
  if (length === undefined || ticket.length !== 27) throw new Error("out of range");
  bytes32(jkt);
  const info = Buffer.concat([
    label("tkt"),
    lp(ticket),
    lp(algorithm),
    lp(identifier(audience)),
    lp(identifier(issuer)),
    lp(identifier(clientId, 2048)),
    lp(jkt),
  ]);
  return expand(secret(key), info, length);
}

export const nonceSecret = (bytes) => expand(secret(bytes), label("nonce"), 32);
export const responseKey = (key) => expand(key, label("res"), 32);
