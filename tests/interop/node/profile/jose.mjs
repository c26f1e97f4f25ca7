// What the profile needs of JOSE: compact JWS under ES256 and MACs, compact JWE.
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  privateDecrypt,
  randomBytes,
  sign,
  verify,
} from "node:crypto";
import { fromBase64url, sha256, toBase64url } from "./encoding.mjs";
import { parseObject } from "./strict_json.mjs";

const REQUIRED = { EC: ["crv", "kty", "x", "y"], OKP: ["crv", "kty", "x"], RSA: ["e", "kty", "n"] };

/** The SHA-256 thumbprint of a JWK (RFC 7638). */
export function thumbprint(jwk) {
  const members = REQUIRED[jwk.kty].map((name) => [name, jwk[name]]);
  return toBase64url(sha256(JSON.stringify(Object.fromEntries(members))));
}

export function publicJwk(jwk) {
  return Object.fromEntries(REQUIRED[jwk.kty].map((name) => [name, jwk[name]]));
}

export const publicKey = (jwk) => createPublicKey({ key: publicJwk(jwk), format: "jwk" });
export const privateKey = (jwk) => createPrivateKey({ key: jwk, format: "jwk" });

/** Take a compact JWS apart; nothing is verified. */
export function parseJws(text, options) {
  const parts = text.split(".");
  if (parts.length !== 3) throw new Error("not a JWS");
  const [header, payload, signature] = parts.map(fromBase64url);
  const parsed = { header: parseObject(header), claims: parseObject(payload, options) };
  for (const name of ["crit", "b64", "zip"]) {
    if (name in parsed.header) throw new Error(name);
  }
  return { ...parsed, signature, input: Buffer.from(`${parts[0]}.${parts[1]}`) };
}

export function isSignedBy(jws, jwk) {
  if (jws.header.alg !== "ES256") return false;
  const key = { key: publicKey(jwk), dsaEncoding: "ieee-p1363" };
  return verify("sha256", jws.input, key, jws.signature);
}

const segment = (value) => toBase64url(JSON.stringify(value));

export function signJws(header, claims, jwk) {
  const input = `${segment({ ...header, alg: "ES256" })}.${segment(claims)}`;
  const key = { key: privateKey(jwk), dsaEncoding: "ieee-p1363" };
  return `${input}.${toBase64url(sign("sha256", Buffer.from(input), key))}`;
}

export const MACS = { HS256: "sha256", HS512: "sha512" };

export const tag = (algorithm, key, input) =>
  createHmac(MACS[algorithm], key).update(input).digest();

export function macJws(header, claims, key) {
  const input = `${segment(header)}.${segment(claims)}`;
  return `${input}.${toBase64url(tag(header.alg, key, input))}`;
}

/** The one round of the Concat KDF that up to 256 bits take (RFC 7518 section 4.6.2). */
function concatKdf(shared, algorithm, bits) {
  const name = Buffer.from(algorithm);
  const numbers = Buffer.alloc(20);
  numbers.writeUInt32BE(1, 0);
  numbers.writeUInt32BE(name.length, 4);
  numbers.writeUInt32BE(bits, 16);
  const info = [numbers.subarray(4, 8), name, Buffer.alloc(8), numbers.subarray(16)];
  return sha256(Buffer.concat([numbers.subarray(0, 4), shared, ...info])).subarray(0, bits / 8);
}

const SIZES = { A256GCM: 256, A128GCM: 128 };

function contentKey({ alg, enc, epk }, wrapped, jwk) {
  if (alg === "RSA-OAEP-256") {
    return privateDecrypt({ key: privateKey(jwk), oaepHash: "sha256" }, wrapped);
  }
  const shared = diffieHellman({ privateKey: privateKey(jwk), publicKey: publicKey(epk) });
  if (alg === "ECDH-ES") {
    if (wrapped.length) throw new Error("an encrypted key");
    return concatKdf(shared, enc, SIZES[enc]);
  }
  if (alg !== "ECDH-ES+A256KW") throw new Error("alg");
  const wrappingKey = concatKdf(shared, alg, 256);
  const unwrap = createDecipheriv("id-aes256-wrap", wrappingKey, Buffer.alloc(8, 0xa6));
  return Buffer.concat([unwrap.update(wrapped), unwrap.final()]);
}

export const jweHeader = (text) => parseObject(fromBase64url(text.split(".")[0]));

/** Decrypt a compact JWE, whose header was found good. */
export function decryptJwe(text, header, jwk) {
  const parts = text.split(".");
  if (parts.length !== 5) throw new Error("not a JWE");
  const [wrapped, iv, ciphertext, mac] = parts.slice(1).map(fromBase64url);
  if (iv.length !== 12 || mac.length !== 16) throw new Error("lengths");
  const key = contentKey(header, wrapped, jwk);
  const cipher = `aes-${SIZES[header.enc]}-gcm`;
  const decipher = createDecipheriv(cipher, key, iv, { authTagLength: 16 });
  decipher.setAAD(Buffer.from(parts[0])).setAuthTag(mac);
  return Buffer.concat([decipher.update(ciphertext), decipher.final()]);
}

/** Encrypt under ECDH-ES and A256GCM for a public key on P-256 or X25519. */
export function encryptJwe(members, plaintext, jwk) {
  const pair =
    jwk.kty === "EC"
      ? generateKeyPairSync("ec", { namedCurve: jwk.crv })
      : generateKeyPairSync("x25519");
  const shared = diffieHellman({ privateKey: pair.privateKey, publicKey: publicKey(jwk) });
  const epk = publicJwk(pair.publicKey.export({ format: "jwk" }));
  const kid = thumbprint(jwk);
  const head = segment({ ...members, alg: "ECDH-ES", enc: "A256GCM", kid, epk });
  const iv = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", concatKdf(shared, "A256GCM", 256), iv);
  cipher.setAAD(Buffer.from(head));
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  const parts = [Buffer.alloc(0), iv, ciphertext, cipher.getAuthTag()].map(toBase64url);
  return [head, ...parts].join(".");
}
