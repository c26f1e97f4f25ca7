// The keyring, as a resource server opens it and as an authorization server makes it.
import { fromBase64url, integer } from "./encoding.mjs";
import { decryptJwe, encryptJwe, isSignedBy, jweHeader, parseJws, publicJwk, signJws, thumbprint } from "./jose.mjs";

const MEMBERS = ["typ", "cty", "alg", "enc", "kid", "epk"];
const LIVE = ["pending", "active", "verify_only"];
const SKEW = 60;

function need(condition) {
  if (!condition) throw new Error("refused");
}

/** Return the versions that proofs are accepted under, or throw. */
export function openKeyring(text, asked) {
  const header = jweHeader(text);
  need(Object.keys(header).every((name) => MEMBERS.includes(name)));
  need(header.typ === "dpop-keyring+jwe" && header.cty === "JWT");
  need(header.alg === "ECDH-ES" && header.enc === "A256GCM");
  need(header.kid === thumbprint(asked.private_key));
  const signed = decryptJwe(text, header, asked.private_key).toString("latin1");
  const jws = parseJws(signed, { maxStructural: 4096 });
  need(jws.header.typ === "dpop-keyring+jwt" && isSignedBy(jws, asked.issuer_jwk));
  return readKeyring(jws.claims, asked);
}

function readKeyring(claims, { issuer, audience, nonce, now, floor }) {
  need(claims.iss === issuer && claims.aud === audience && claims.nonce === nonce);
  need(Math.abs(integer(claims.iat) - now) <= SKEW && integer(claims.exp) > now);
  const [epoch, seq] = [integer(claims.epoch), integer(claims.seq, { least: 1 })];
  // Equal numbers would need equal content, which the one before did not have.
  need(epoch > floor.epoch || (epoch === floor.epoch && seq > floor.seq));
  const minLive = Math.max(integer(claims.min_live, { least: 1 }), floor.min_live);
  const revoked = claims.revoked.map((v) => integer(v, { least: 1 })).concat(floor.revoked);
  const keys = claims.keys.map(readKey);
  need(new Set(keys.map((key) => key.v)).size === keys.length);
  need(new Set(keys.map((key) => key.k.toString("hex"))).size === keys.length);
  return keys
    .filter((key) => key.v >= minLive && !revoked.includes(key.v) && now < key.exp)
    .map((key) => key.v);
}

function readKey(entry) {
  const k = fromBase64url(entry.k);
  need(entry.kdf === "dpop-sym/1" && LIVE.includes(entry.state));
  need(k.length === 32 && new Set(k).size >= 8);
  const [v, nbf, exp] = [integer(entry.v, { least: 1 }), integer(entry.nbf), integer(entry.exp)];
  need(nbf < exp);
  return { v, exp, k };
}

/** Sign a keyring and encrypt it for a public JWK. */
export function sealKeyring({ claims, signingKey, jwk }) {
  const signed = signJws({ typ: "dpop-keyring+jwt", kid: "node" }, claims, signingKey);
  const header = { typ: "dpop-keyring+jwe", cty: "JWT" };
  return encryptJwe(header, Buffer.from(signed), publicJwk(jwk));
}
