// Bytes and texts of the profile.
import { createHash, timingSafeEqual } from "node:crypto";
import { Numeral } from "./strict_json.mjs";

export const MAX_VERSION = Number.MAX_SAFE_INTEGER;

/** Decode base64url that is spelled in the one right way. */
export function fromBase64url(text) {
  if (typeof text !== "string" || !/^[A-Za-z0-9_-]*$/.test(text)) throw new Error("letters");
  const bytes = Buffer.from(text, "base64url");
  if (bytes.toString("base64url") !== text) throw new Error("spelling");
  return bytes;
}

export const toBase64url = (bytes) => Buffer.from(bytes).toString("base64url");

/** A value behind its length in two bytes. */
export function lp(value) {
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

export function u64(value) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

export const sha256 = (data) => createHash("sha256").update(data).digest();
export const hashOf = (text) => toBase64url(sha256(text));

export function same(one, other) {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** A name that enters a derivation: never cut off, never with a NUL in it. */
export function identifier(value, limit = 256) {
  if (typeof value !== "string" || !value.isWellFormed()) throw new Error("no text");
  const bytes = Buffer.from(value);
  if (bytes.length < 1 || bytes.length > limit || bytes.includes(0)) {
    throw new Error("out of range");
  }
  return bytes;
}

/** An integer from strict JSON, written as one. */
export function integer(value, { least = 0 } = {}) {
  if (!(value instanceof Numeral) || !value.isInteger) throw new Error("no integer");
  if (value.number < least || value.number > MAX_VERSION) throw new Error("out of range");
  return value.number;
}

/** Canonical base64url of 32 bytes. */
export function bytes32(text) {
  const bytes = fromBase64url(text);
  if (bytes.length !== 32) throw new Error("not 32 bytes");
  return bytes;
}
