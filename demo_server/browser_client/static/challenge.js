// What a refusal says: WWW-Authenticate (RFC 9110 section 11.6.1), or JSON.

const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const QUOTED = /"((?:[^"\\]|\\.)*)"/y;

/** Return the parameters of the DPoP challenge; an empty object if there is none. */
export function dpopChallenge(field) {
  const challenges = parse(field ?? "");
  return challenges.find(({ scheme }) => scheme === "dpop")?.parameters ?? {};
}

/** Return the error code of an answer, or null. */
export function errorOf(response, body) {
  if (response.ok) return null;
  return dpopChallenge(response.headers.get("WWW-Authenticate")).error ?? body?.error ?? null;
}

function parse(field) {
  const challenges = [];
  let at = 0;
  const match = (pattern) => {
    pattern.lastIndex = at;
    const found = pattern.exec(field);
    if (found) at = pattern.lastIndex;
    return found;
  };
  while (at < field.length) {
    match(/[\s,]*/y);
    const word = match(TOKEN)?.[0];
    if (word === undefined) break;
    if (match(/\s*=\s*/y) && challenges.length) {
      const value = match(QUOTED)?.[1].replace(/\\(.)/g, "$1") ?? match(TOKEN)?.[0];
      if (value === undefined) break;
      challenges.at(-1).parameters[word.toLowerCase()] ??= value;
    } else {
      challenges.push({ scheme: word.toLowerCase(), parameters: Object.create(null) });
    }
  }
  return challenges;
}
