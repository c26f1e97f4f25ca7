// What both servers say about themselves (RFC 8414, RFC 9728), checked.

import { issuer, resource } from "./config.js";
import { NetworkError } from "./exchange.js";

let known;

/** Return the metadata of the authorization server; asks for it once. */
export function discover() {
  known ??= ask().catch((error) => {
    known = undefined;
    throw error;
  });
  return known;
}

async function ask() {
  const [server, api] = await Promise.all([
    fetchJson(`${issuer}/.well-known/oauth-authorization-server`),
    fetchJson(`${resource}/.well-known/oauth-protected-resource`),
  ]);
  // Who answers for somebody else would get our code (RFC 8414 section 3.3).
  if (server.issuer !== issuer || api.resource !== resource) throw new Error("metadata");
  if (!api.authorization_servers.includes(issuer)) throw new Error("metadata");
  return server;
}

async function fetchJson(url) {
  let response;
  try {
    response = await fetch(url, { credentials: "omit", redirect: "error" });
  } catch {
    throw new NetworkError();
  }
  if (!response.ok) throw new Error("metadata");
  return response.json();
}
