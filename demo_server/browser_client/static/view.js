// What is on the screen. Text goes in as text: no answer of a server becomes markup.

import { jsonFromBase64url } from "./encoding.js";

/** Requests that stay listed. */
const MAX_LISTED = 25;

export const byId = (id) => document.getElementById(id);

/** Make an element; what is not a node becomes text. */
function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Say how it went, to everybody: both places are read aloud. */
export function say({ status = "", alert = "" }) {
  byId("status").textContent = status;
  byId("alert").textContent = alert;
}

export function showSession(session, hasMac) {
  byId("signed-out").hidden = Boolean(session);
  byId("signed-in").hidden = !session;
  if (!session) {
    byId("comparison").hidden = true;
    return;
  }
  byId("scope").textContent = session.scope.split(" ").join(", ");
  byId("jkt").textContent = session.key.jkt;
  byId("token").textContent = `until ${time(session.expiresAt)}`;
  const mac = hasMac && `HS256, until ${time(session.mac.expiresAt)}, cannot be exported`;
  byId("mac").textContent = mac || "none: all proofs are signatures";
}

export function showComparison({ asymmetric, symmetric }) {
  byId("comparison").hidden = false;
  byId("count").textContent = asymmetric.count;
  const kinds = [asymmetric, symmetric];
  byId("figures").replaceChildren(
    figures("Making the proof", kinds, (kind) => kind.makingMs.toFixed(2)),
    figures("Round trip", kinds, (kind) => kind.roundTripMs.toFixed(1)),
    figures("Size of the proof, in bytes", kinds, (kind) => String(kind.last.proof.length)),
  );
  const panels = kinds.filter(Boolean).map(({ last }) => {
    const title = element("h3", {}, `The last ${last.kind} proof`);
    return element("div", { class: "panel" }, title, ...decoded(last.proof));
  });
  byId("proofs").replaceChildren(...panels);
}

/** List a request, the newest first. */
export function showExchange({ kind, method, url, status, error, makingMs, roundTripMs, proof }) {
  byId("requests").hidden = false;
  const good = status < 400;
  const outcome = element("b", { class: good ? "good" : "bad" }, `${status} ${error ?? ""}`.trim());
  const times = `proof ${makingMs.toFixed(2)} ms, round trip ${roundTripMs.toFixed(1)} ms`;
  const summary = element("summary", {});
  summary.append(
    element("span", { class: "tag" }, kind),
    ...[" ", element("code", {}, `${method} ${new URL(url).pathname}`), " ", outcome, " "],
    element("span", { class: "quiet" }, times),
  );
  const item = element("li", {}, element("details", {}, summary, ...decoded(proof)));
  byId("wire").prepend(item);
  while (byId("wire").children.length > MAX_LISTED) byId("wire").lastElementChild.remove();
}

function figures(name, kinds, text) {
  const cells = kinds.map((kind) => element("td", {}, kind ? text(kind) : "none"));
  return element("tr", {}, element("th", { scope: "row" }, name), ...cells);
}

function decoded(proof) {
  const [header, payload, signature] = proof.split(".");
  const json = (text) => JSON.stringify(jsonFromBase64url(text), null, 2);
  const name = "Decoded proof";
  // A region that can be scrolled can be reached with the keyboard.
  const text = element("pre", { tabindex: "0", role: "region", "aria-label": name });
  text.append(`${json(header)}\n${json(payload)}\n${signature}`);
  return [text];
}

function time(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString([], { timeStyle: "medium" });
}
