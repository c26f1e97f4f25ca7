// Symmetric proofs: what a resource server answers, and how a client makes them.
import { randomBytes } from "node:crypto";
import { KEY_LENGTHS, symmetricKey, ticketMacKey } from "./derivation.mjs";
import { bytes32, fromBase64url, hashOf, identifier, integer, same, toBase64url } from "./encoding.mjs";
import { isSignedBy, macJws, parseJws, tag } from "./jose.mjs";
import { Numeral } from "./strict_json.mjs";

const MEMBERS = ["typ", "alg", "kid", "tkt"];
const PROOF = { error: "invalid_dpop_proof" };
const TOKEN = { error: "invalid_token" };
const STALE = { error: "invalid_token", sym_error: "stale_key" };
const EXPIRED = { error: "invalid_token", sym_error: "expired_key" };
const STALE_TICKET = { error: "use_dpop_asymmetric", sym_error: "stale_ticket" };
const UNKNOWN = { error: "use_dpop_asymmetric", sym_error: "unknown_key" };

class Refusal extends Error {
  constructor(answer) {
    super(answer.error);
    this.answer = answer;
  }
}

function need(condition, answer) {
  if (!condition) throw new Refusal(answer);
}

/** Whatever goes wrong inside has this answer. */
function or(answer, action) {
  try {
    return action();
  } catch (error) {
    throw error instanceof Refusal ? error : new Refusal(answer);
  }
}

/** Return {} for a good request, and otherwise error and sym_error. */
export function judgeRequest(request, server) {
  try {
    check(request, server);
    return {};
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return error.answer;
  }
}

function check({ access_token: text, proof: raw }, server) {
  const proof = or(PROOF, () => parseProof(raw));
  const isUnderTicket = "tkt" in proof.header;
  const derive = isUnderTicket ? keyOfTicket : keyOfToken;
  const { token, key } = derive(proof, text, server);
  need(same(tag(proof.header.alg, key, proof.input), proof.signature), PROOF);
  need(token.jws.header.typ === "at+jwt", TOKEN);
  need(or(TOKEN, () => isSignedBy(token.jws, server.issuer_jwk)), TOKEN);
  const denied = (server.deny ?? []).filter((entry) => server.now < entry.exp);
  const r = token.dsk?.r;
  need(!denied.some((entry) => [token.jti, r].includes(entry.jti ?? entry.r)), TOKEN);
  if (!isUnderTicket) need(token.dsk.exp === null || server.now < token.dsk.exp, EXPIRED);
  checkClaims(proof, isUnderTicket ? null : token.dsk, text, server);
}

function keyOfToken(proof, text, server) {
  const token = or(TOKEN, () => peek(text, server));
  const { dsk } = token;
  need(dsk !== null && server.secrets, PROOF);
  need(proof.header.alg === dsk.alg, PROOF);
  const secret = find(dsk.v, server);
  const derive = () =>
    symmetricKey({
      secret,
      algorithm: dsk.alg,
      // Its own names, never those of the token.
      issuer: server.issuer,
      audience: server.audience,
      clientId: token.clientId,
      jkt: token.jkt,
      version: dsk.v,
      r: dsk.r,
    });
  return { token, key: or(TOKEN, derive) };
}

function keyOfTicket({ header }, text, server) {
  need(server.ticket_keys && server.algorithms.includes(header.alg), PROOF);
  need(typeof header.tkt === "string" && header.tkt.length === 36, PROOF);
  need(!("kid" in header), PROOF);
  const token = or(TOKEN, () => peek(text, server));
  const ticket = or(PROOF, () => fromBase64url(header.tkt));
  need(ticket[0] === 2, PROOF);
  const tkid = ticket.subarray(1, 5).toString("hex");
  const entry = server.ticket_keys.find((key) => key.tkid === tkid);
  need(entry && server.now < entry.expires_at, STALE_TICKET);
  const exp = ticket.readUIntBE(5, 6);
  need(server.now < exp && exp <= server.now + entry.lifetime + 5, STALE_TICKET);
  const names = { ...server, algorithm: header.alg, clientId: token.clientId, jkt: token.jkt };
  const derive = () => ticketMacKey(Buffer.from(entry.key, "hex"), ticket, names);
  const logout = server.logouts.find(({ jkt }) => jkt === token.jkt);
  // Who cannot make the MAC learns nothing of a log-out, but it is the same either way.
  need(!logout || exp - entry.lifetime > logout.not_before, STALE_TICKET);
  return { token, key: or(TOKEN, derive) };
}

function parseProof(text) {
  need(text.length <= 2048, PROOF);
  const proof = parseJws(text);
  const { header, claims } = proof;
  need(header.typ === "dpop-sym+jwt" && header.alg in KEY_LENGTHS, PROOF);
  need(Object.keys(header).every((name) => MEMBERS.includes(name)), PROOF);
  if ("kid" in header) need(/^[1-9][0-9]{0,15}$/.test(header.kid) && typeof header.kid === "string", PROOF);
  for (const name of ["jti", "htm", "htu", "ath"]) {
    need(typeof claims[name] === "string" && claims[name], PROOF);
  }
  need(claims.jti.length <= 256 && claims.iat instanceof Numeral, PROOF);
  return proof;
}

/** Read a token that nobody has verified: inputs of the derivation, no more. */
function peek(text, { issuer, audience, now }) {
  need(text.split(".")[1].length <= Math.floor((4096 * 4) / 3) + 1, TOKEN);
  const jws = parseJws(text);
  const { claims } = jws;
  const aud = Array.isArray(claims.aud) && claims.aud.length === 1 ? claims.aud[0] : claims.aud;
  need(claims.iss === issuer && aud === audience && integer(claims.exp) > now, TOKEN);
  identifier(claims.client_id, 2048);
  const { cnf } = claims;
  need(Object.keys(cnf).every((name) => ["jkt", "dsk"].includes(name)), TOKEN);
  bytes32(cnf.jkt);
  return { jws, clientId: claims.client_id, jkt: cnf.jkt, jti: claims.jti, dsk: readDsk(cnf.dsk) };
}

function readDsk(dsk) {
  if (dsk === undefined) return null;
  need(dsk.alg in KEY_LENGTHS, TOKEN);
  bytes32(dsk.r);
  const exp = "exp" in dsk ? integer(dsk.exp) : null;
  return { alg: dsk.alg, v: integer(dsk.v, { least: 1 }), r: dsk.r, exp };
}

function find(version, { secrets, min_live: minLive, revoked, now }) {
  const entry = secrets.find((secret) => secret.v === version);
  const ended = version < minLive || revoked.includes(version);
  if (entry && !ended && now < entry.exp) return fromBase64url(entry.k);
  const highest = Math.max(minLive - 1, ...revoked, ...secrets.map((secret) => secret.v));
  need(!entry && !ended && version > highest, STALE);
  need(version <= highest + 2, TOKEN);
  throw new Refusal(UNKNOWN);
}

function checkClaims({ header, claims }, dsk, token, { method, url, now }) {
  need(claims.htm === method && claims.htu === url, PROOF);
  need(same(claims.ath, hashOf(token)), PROOF);
  const age = now - claims.iat.number;
  need(age <= 65 && age >= -30, PROOF);
  need(header.kid === undefined || header.kid === String(dsk?.v), PROOF);
}

/** Make the proof for one request. */
export function makeProof({ key, algorithm, method, url, now, accessToken, kid, tkt }) {
  const header = { typ: "dpop-sym+jwt", alg: algorithm, ...(kid && { kid }), ...(tkt && { tkt }) };
  const jti = toBase64url(randomBytes(12));
  const claims = { jti, htm: method, htu: url, iat: now, ath: hashOf(accessToken) };
  return macJws(header, claims, key);
}
