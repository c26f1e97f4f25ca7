// Text, bytes, base64url and hashes (RFC 7515 section 2).

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

export const utf8 = (text) => encoder.encode(text);

export function toBase64url(bytes) {
  const text = btoa(String.fromCharCode(...new Uint8Array(bytes)));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Decode the one canonical spelling; throws for every other. */
export function fromBase64url(text) {
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
  if (toBase64url(bytes) !== text) throw new Error("not canonical base64url");
  return bytes;
}

export const jsonToBase64url = (value) => toBase64url(utf8(JSON.stringify(value)));

export const jsonFromBase64url = (text) => JSON.parse(decoder.decode(fromBase64url(text)));

/** Return the SHA-256 of a text in base64url: `ath`, a thumbprint, a code challenge. */
export async function hashOf(text) {
  return toBase64url(await crypto.subtle.digest("SHA-256", utf8(text)));
}

export const randomText = (length) => toBase64url(crypto.getRandomValues(new Uint8Array(length)));

/** Seconds since the epoch. */
export const now = () => Math.floor(Date.now() / 1000);
