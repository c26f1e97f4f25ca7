// The code flow of a public client: PKCE, PAR, dpop_jkt, state and iss (RFC 9700 2.1).

import { clientId, issuer, redirectUri, resource, scope } from "./config.js";
import * as database from "./database.js";
import { hashOf, randomText } from "./encoding.js";
import { send } from "./exchange.js";
import { discover } from "./metadata.js";
import { asymmetric, generateKey } from "./proof.js";
import { TokenError, redeem } from "./session.js";

const RECORD = "login";

/** The answer that came with the URL is not one to a question of this page. */
export class ForeignAnswerError extends Error {}

/** Go to the authorization server. */
export async function begin() {
  const key = await generateKey();
  const [state, verifier] = [randomText(16), randomText(32)];
  const server = await discover();
  const pushed = await send(server.pushed_authorization_request_endpoint, {
    method: "POST",
    signer: asymmetric(key),
    body: new URLSearchParams({
      response_type: "code",
      client_id: clientId,
      redirect_uri: redirectUri,
      ...{ scope, resource, state },
      code_challenge: await hashOf(verifier),
      code_challenge_method: "S256",
      // A code that is stolen is of no use without this key.
      dpop_jkt: key.jkt,
    }),
  });
  if (pushed.status !== 201) throw new TokenError(pushed.error ?? "server_error");
  await database.put(RECORD, { key, state, verifier });
  const target = new URL(server.authorization_endpoint);
  target.searchParams.set("client_id", clientId);
  target.searchParams.set("request_uri", pushed.json.request_uri);
  location.assign(target);
}

/** Tell whether the URL of this page is an answer. */
export const isAnswer = () => location.href.startsWith(`${redirectUri}?`);

/** Take the answer, which works once. */
export async function finish() {
  const answer = new URLSearchParams(location.search);
  // Out of the history before anything else, and out of reach of a reload.
  history.replaceState(null, "", "/");
  const login = await database.take(RECORD);
  if (!login || single(answer, "state") !== login.state) throw new ForeignAnswerError();
  // From any other issuer it may be a mix-up (RFC 9207).
  if (single(answer, "iss") !== issuer) throw new ForeignAnswerError();
  if (answer.has("error")) throw new TokenError(single(answer, "error") ?? "server_error");
  const code = single(answer, "code");
  if (!code) throw new ForeignAnswerError();
  const grant = { code, redirect_uri: redirectUri, code_verifier: login.verifier };
  return redeem(login.key, grant);
}

function single(parameters, name) {
  const values = parameters.getAll(name);
  return values.length === 1 ? values[0] : null;
}
