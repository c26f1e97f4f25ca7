// The proof that an answer is the answer to a request.
import { hashOf, lp, same, sha256, toBase64url } from "./encoding.mjs";
import { macJws, parseJws, tag } from "./jose.mjs";
import { Numeral } from "./strict_json.mjs";

const FIELDS = [
  ...["content-type", "content-encoding", "content-range", "location", "etag"],
  ...["www-authenticate", "dpop-ticket", "retry-after"],
];
const MAX_SKEW = 300;

const latin1 = (text) => Buffer.from(text, "latin1");
const digest = (bytes) => toBase64url(sha256(bytes));

function need(condition) {
  if (!condition) throw new Error("refused");
}

/** Digest of the protected fields; an absent one is something else than an empty one. */
function fieldDigest(fields) {
  const parts = FIELDS.flatMap((name) => {
    const lines = fields.filter(([other]) => other.toLowerCase() === name);
    const values = lines.map(([, value]) => value.replace(/^[ \t]+|[ \t]+$/g, ""));
    if (!values.length) return [lp(name), Buffer.from([0])];
    return [lp(name), Buffer.from([1]), lp(latin1(values.join(", ")))];
  });
  return digest(Buffer.concat(parts));
}

/** What the claims say of a request and its answer, but for the time. */
function expected({ proof, target, request_content: sent, method, status, fields, content }) {
  const query = target.includes("?") ? target.slice(target.indexOf("?") + 1) : "";
  const isEmpty = method === "HEAD" || [204, 304].includes(status);
  return {
    rph: hashOf(proof),
    rhq: digest(latin1(query)),
    rcd: digest(latin1(sent)),
    cd: digest(latin1(isEmpty ? "" : content)),
    hd: fieldDigest(fields),
  };
}

/** Throw unless the answer is the answer. */
export function verifyResponse(vector, { key, now }) {
  const { header, claims, input, signature } = parseJws(vector.response);
  need(Object.keys(header).length === 2);
  need(header.typ === "dpop-sym-res+jwt" && header.alg === "HS256");
  need(same(tag("HS256", key, input), signature));
  for (const [name, value] of Object.entries(expected(vector))) {
    need(typeof claims[name] === "string" && same(claims[name], value));
  }
  need(claims.status instanceof Numeral && claims.status.isInteger);
  need(claims.status.number === vector.status);
  need(claims.iat instanceof Numeral && Math.abs(claims.iat.number - now) <= MAX_SKEW);
}

/** Make the proof for an answer. */
export function makeResponse(answer, { key, now }) {
  const claims = { ...expected(answer), iat: now, status: answer.status };
  return macJws({ typ: "dpop-sym-res+jwt", alg: "HS256" }, claims, key);
}
