// The DPoP-Ticket field, as the client reads it.
import { KEY_LENGTHS } from "./derivation.mjs";
import { fromBase64url, hashOf, integer, same } from "./encoding.mjs";
import { decryptJwe, jweHeader, thumbprint } from "./jose.mjs";
import { parseObject } from "./strict_json.mjs";

const MEMBERS = ["typ", "cty", "alg", "enc", "kid", "dsk", "epk"];
const LONGEST = 3600 + 5;

// Items of RFC 9651, each with its parameters.
const KEY = "[a-z*][a-z0-9_.*-]*";
const BARE = [
  String.raw`"(?:[ !#-\[\]-~]|\\["\\])*"`,
  String.raw`-?\d{1,12}\.\d{1,3}`,
  String.raw`-?\d{1,15}(?![\d.])`,
  "[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*",
  ":[A-Za-z0-9+/=]*:",
  String.raw`\?[01]`,
].join("|");
const PARAMETERS = `(?:; *${KEY}(?:=(?:${BARE}))?)*`;
const ITEM = `(?:${BARE})${PARAMETERS}`;
const LIST = String.raw`\( *(?:${ITEM}(?: +${ITEM})*)? *\)${PARAMETERS}`;
const MEMBER = new RegExp(`(${KEY})(?:=(${ITEM}|${LIST})|${PARAMETERS})`, "y");

function need(condition) {
  if (!condition) throw new Error("refused");
}

/** Read strings and integers; the last member of a name counts. */
function readDictionary(text) {
  const members = new Map();
  let at = 0;
  for (;;) {
    MEMBER.lastIndex = at;
    const match = MEMBER.exec(text);
    need(match !== null);
    members.delete(match[1]);
    const value = match[2] ?? "";
    if (value.startsWith('"')) {
      members.set(match[1], /^"((?:[^"\\]|\\.)*)"/.exec(value)[1].replace(/\\(.)/g, "$1"));
    } else if (/^-?\d+(?:;|$)/.test(value)) {
      members.set(match[1], Number.parseInt(value, 10));
    }
    at = MEMBER.lastIndex;
    if (at === text.length) return members;
    const separator = /^[ \t]*,[ \t]*/.exec(text.slice(at));
    need(separator !== null);
    at += separator[0].length;
  }
}

function readTicket(text) {
  const raw = fromBase64url(text);
  need(raw.length === 27 && raw[0] === 2);
  return raw.readUIntBE(5, 6);
}

/** Return algorithm, ticket and key, or throw. */
export function openTicket(field, asked) {
  const members = readDictionary(field);
  const ticket = members.get("tkt");
  const exp = readTicket(ticket);
  need(asked.now < exp && exp <= asked.now + LONGEST && members.get("exp") === exp);
  const text = members.get("key");
  need(typeof text === "string" && text.length <= 4096);
  const header = jweHeader(text);
  need(Object.keys(header).every((name) => MEMBERS.includes(name)));
  need(header.typ === "dpop-sym+jwe" && header.cty === "jwk+json");
  need(header.alg === "ECDH-ES" && asked.encodings.includes(header.enc));
  need(header.kid === thumbprint(asked.private_key));
  const { dsk } = header;
  need(dsk.rs === asked.resource && dsk.jkt === asked.jkt && dsk.tkt === ticket);
  need(same(dsk.n, asked.n) && same(dsk.rph, hashOf(asked.proof)) && integer(dsk.exp) === exp);
  const jwk = parseObject(decryptJwe(text, header, asked.private_key));
  need(jwk.kty === "oct" && jwk.use === "sig" && !("kid" in jwk));
  need(Array.isArray(jwk.key_ops) && jwk.key_ops.join() === "sign");
  need(asked.algorithms.includes(jwk.alg) && members.get("alg") === jwk.alg);
  const key = fromBase64url(jwk.k);
  need(key.length === KEY_LENGTHS[jwk.alg]);
  return { algorithm: jwk.alg, ticket, key };
}
