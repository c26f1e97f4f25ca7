// Calls of the API, with the cheaper kind of proof wherever it is taken.

import { dpopChallenge } from "./challenge.js";
import { resource } from "./config.js";
import { now } from "./encoding.js";
import { send } from "./exchange.js";
import { asymmetric, symmetric } from "./proof.js";
import * as sessions from "./session.js";

/** After it was told that a key is not known yet, the page waits so many seconds. */
const PAUSE = 30;
/** Requests that may be made twice if nobody knows whether they were carried out. */
const SAFE = ["GET", "HEAD"];

/** Paths where the server wants signatures, and until when it wants them everywhere. */
const signed = new Set();
let pausedUntil = 0;

/** There is no session, or no more. */
export class SignedOutError extends Error {}

/** Return whether there is a symmetric key to use now. */
export const hasMac = (session) => session.mac !== null && now() < session.mac.expiresAt;

/**
 * Call the API; return the answer.
 *
 * @param kind - "asymmetric" signs whatever there is.
 */
export async function call(method, path, { json, kind } = {}) {
  let session = await sessions.current();
  for (let attempt = 0; ; attempt += 1) {
    if (!session) throw new SignedOutError();
    const mac = kind !== "asymmetric" && isMacGood(session, path);
    const answer = await send(resource + path, {
      method,
      signer: mac ? symmetric(session.mac) : asymmetric(session.key),
      accessToken: session.accessToken,
      headers: json && { "Content-Type": "application/json" },
      body: json && JSON.stringify(json),
    });
    if (answer.status !== 401 || attempt === 2) return answer;
    if (mac && (await goOnSigning(answer, session, path))) kind = "asymmetric";
    else if (answer.error === "invalid_token") {
      session = await sessions.renew(session.accessToken);
    } else return answer;
  }
}

function isMacGood(session, path) {
  return hasMac(session) && !signed.has(path) && now() >= pausedUntil;
}

/** Tell whether the same token is good with the other kind of proof. */
async function goOnSigning({ response, method }, session, path) {
  const refusal = dpopChallenge(response.headers.get("WWW-Authenticate"));
  if (refusal.error === "use_dpop_asymmetric") {
    if (refusal.sym_error === "policy") signed.add(path);
    else pausedUntil = now() + PAUSE;
    return true;
  }
  if (["stale_key", "expired_key"].includes(refusal.sym_error)) {
    // The token is good still; its next one brings a new key.
    await sessions.forgetMac(session.accessToken);
    return true;
  }
  return refusal.error === "invalid_dpop_proof" && SAFE.includes(method);
}
