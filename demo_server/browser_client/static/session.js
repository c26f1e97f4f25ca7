// The session: the key, the tokens that are bound to it, and what came with them.

import { clientId, issuer, resource } from "./config.js";
import * as database from "./database.js";
import { openKey, requestKey } from "./delivered_key.js";
import { now } from "./encoding.js";
import { send } from "./exchange.js";
import { discover } from "./metadata.js";
import { asymmetric } from "./proof.js";

const RECORD = "session";
/** An access token is renewed so many seconds before its end. */
const MARGIN = 5;

/** The authorization server refused; `code` is the error. */
export class TokenError extends Error {
  constructor(code) {
    super(code);
    this.code = code;
  }
}

export const load = () => database.get(RECORD);

/** Start a session with the answer to a code. */
export const redeem = (key, grant) =>
  exclusively(async () => {
    const session = await requestTokens(key, { grant_type: "authorization_code", ...grant });
    await database.put(RECORD, session);
    return session;
  });

/**
 * Return the session with a newer access token than `old`; undefined once it is over.
 *
 * One tab at a time: a refresh token is good once, and its second use ends everything.
 */
export const renew = (old) =>
  exclusively(async () => {
    const session = await load();
    if (!session || session.accessToken !== old) return session;
    const { refreshToken } = session;
    const grant = { grant_type: "refresh_token", refresh_token: refreshToken };
    try {
      const renewed = { refreshToken, ...(await requestTokens(session.key, grant)) };
      await database.put(RECORD, renewed);
      return renewed;
    } catch (error) {
      if (error.code === "invalid_grant") await database.clear();
      throw error;
    }
  });

/** Go on without the symmetric key of this access token. */
export const forgetMac = (accessToken) =>
  exclusively(async () => {
    const session = await load();
    if (session?.accessToken !== accessToken) return;
    await database.put(RECORD, { ...session, mac: null });
  });

/** Return the session with a token that is good for a while; undefined: log in. */
export async function current() {
  const session = await load();
  if (!session || now() < session.expiresAt - MARGIN) return session;
  return renew(session.accessToken);
}

/** Delete keys and tokens, then tell the server; return whether it heard. */
export const end = () =>
  exclusively(async () => {
    const session = await load();
    // Whatever the server says: nothing stays here.
    await database.clear();
    if (!session) return true;
    const token = session.refreshToken ?? session.accessToken;
    const body = new URLSearchParams({ client_id: clientId, token });
    try {
      const { revocation_endpoint: url } = await discover();
      const response = await fetch(url, {
        method: "POST",
        body,
        credentials: "omit",
        redirect: "error",
      });
      return response.ok;
    } catch {
      return false;
    }
  });

async function requestTokens(key, grant) {
  const [{ token_endpoint: url }, request] = await Promise.all([discover(), requestKey()]);
  const { json, status, error } = await send(url, {
    method: "POST",
    signer: asymmetric(key),
    claims: { dsk: request.claim },
    body: new URLSearchParams({ client_id: clientId, resource, ...grant }),
  });
  if (status !== 200) throw new TokenError(error ?? "server_error");
  const { access_token: accessToken, cnf, expires_in: lifetime } = json ?? {};
  // An unbound token is not what was asked for, however well it might work.
  const bound = json?.token_type?.toLowerCase() === "dpop" && (cnf?.jkt ?? key.jkt) === key.jkt;
  if (!bound || !accessToken || !(lifetime > 0)) throw new TokenError("unbound_token");
  const asked = { request, accessToken, issuer, audience: resource };
  return {
    key,
    accessToken,
    expiresAt: now() + lifetime,
    scope: json.scope ?? "",
    mac: cnf?.jwe ? await openKey(cnf.jwe, asked) : null,
    ...(json.refresh_token && { refreshToken: json.refresh_token }),
  };
}

const exclusively = (act) => navigator.locks.request("dpop-demo session", act);
