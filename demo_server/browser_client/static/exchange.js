// A request with a proof, and once more if the server wants its nonce in it (RFC 9449
// sections 8 and 9).

import { errorOf } from "./challenge.js";
import { makeProof } from "./proof.js";

/** The last nonce of each origin; none is told to another. */
const nonces = new Map();
/** One nonce: two that were joined by the browser have a space between them. */
const NONCE = /^[\x21\x23-\x5b\x5d-\x7e]+$/;

/** Hears of every request: an "exchange" event with what the page shows of it. */
export const wire = new EventTarget();

/** Nobody answered, or it cannot be read. */
export class NetworkError extends Error {}

/** Return status, error code and JSON of the answer, and what was sent. */
export async function send(url, { method, signer, accessToken, claims, body, headers }) {
  const { origin } = new URL(url);
  let answer;
  for (let attempt = 0; attempt < 2; attempt += 1) {
    const started = performance.now();
    const nonce = nonces.get(origin);
    const proof = await makeProof(signer, { method, url, accessToken, nonce, claims });
    const makingMs = performance.now() - started;
    const fields = { ...headers, DPoP: proof };
    if (accessToken) fields.Authorization = `DPoP ${accessToken}`;
    answer = await request(url, { method, headers: fields, body });
    Object.assign(answer, { kind: signer.kind, proof, makingMs });
    wire.dispatchEvent(new CustomEvent("exchange", { detail: answer }));
    const next = NONCE.exec(answer.response.headers.get("DPoP-Nonce") ?? "")?.[0];
    if (next) nonces.set(origin, next);
    // A nonce beside any other refusal is for later: the code may be spent by then.
    if (answer.error !== "use_dpop_nonce" || !next || next === nonce) break;
  }
  return answer;
}

/** Send exactly what was sent before, as somebody would who had listened. */
export async function sendAgain({ url, method, headers, body, kind, proof }) {
  const answer = await request(url, { method, headers, body });
  Object.assign(answer, { kind, proof, makingMs: 0 });
  wire.dispatchEvent(new CustomEvent("exchange", { detail: answer }));
  return answer;
}

async function request(url, { method, headers, body }) {
  const started = performance.now();
  let response;
  let content;
  try {
    response = await fetch(url, {
      ...{ method, headers, body },
      mode: "cors",
      credentials: "omit",
      cache: "no-store",
      // A proof is for one place; nobody gets it elsewhere.
      redirect: "error",
    });
    content = await response.text();
  } catch {
    throw new NetworkError();
  }
  const roundTripMs = performance.now() - started;
  const json = parse(content);
  const { status } = response;
  const error = errorOf(response, json);
  return { url, method, headers, body, response, status, error, json, roundTripMs };
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
