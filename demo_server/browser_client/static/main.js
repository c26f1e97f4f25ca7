// The buttons, and what the page does when it opens.

import { SignedOutError, call, hasMac } from "./api.js";
import { compare } from "./comparison.js";
import { NetworkError, sendAgain, wire } from "./exchange.js";
import * as login from "./login.js";
import * as sessions from "./session.js";
import { byId, say, showComparison, showExchange, showSession } from "./view.js";

/** What error codes mean to the person. */
const EXPLANATIONS = {
  access_denied: "You did not allow the access. Nothing was shared, and you are not logged in.",
  invalid_grant: "Your session has ended at the server. Please log in again.",
  temporarily_unavailable: "The server cannot answer at the moment. Please try again.",
  unbound_token: "The token is not bound to the key of this page, so it was thrown away.",
};
const CODE = /^[a-z_]{1,40}$/;

let last = null;
let comparing = false;

wire.addEventListener("exchange", ({ detail }) => {
  if (detail.headers.Authorization) last = detail;
  if (!comparing || detail.error) showExchange(detail);
});

async function refreshView() {
  const session = await sessions.load();
  showSession(session, Boolean(session) && hasMac(session));
  byId("replay").disabled = last === null;
  return session;
}

/** Do one thing at a time, and say how it ended. */
async function perform(act) {
  const main = byId("main");
  if (main.getAttribute("aria-busy") === "true") return;
  main.setAttribute("aria-busy", "true");
  say({ status: "One moment …" });
  try {
    say((await act()) ?? {});
  } catch (error) {
    say({ alert: explain(error) });
  } finally {
    await refreshView();
    main.setAttribute("aria-busy", "false");
  }
}

function explain(error) {
  if (error instanceof NetworkError) return "The server does not answer. Please try again.";
  if (error instanceof SignedOutError) return "You are logged out. Please log in again.";
  if (error instanceof login.ForeignAnswerError) {
    return "This answer is not one to a question of this page. Please log in again.";
  }
  if (error instanceof sessions.TokenError) {
    const code = CODE.test(error.code) ? error.code : "unknown";
    return EXPLANATIONS[code] ?? `The server refused: ${code}.`;
  }
  return "Something went wrong. Please reload the page.";
}

function told(answer, text) {
  if (answer.status < 400) return { status: `${text}, with ${withA(answer.kind)} proof.` };
  return { alert: `The API refused: ${answer.status} ${answer.error ?? ""}`.trim() };
}

const withA = (kind) => (kind === "asymmetric" ? "an asymmetric" : "a symmetric");

const actions = {
  "log-in": async () => {
    await login.begin();
    return { status: "You are being sent to the log-in …" };
  },
  accounts: async () => {
    const answer = await call("GET", "/api/accounts");
    const accounts = answer.json?.accounts ?? [];
    const texts = accounts.map(({ name, balance, currency }) => `${name} ${balance} ${currency}`);
    return told(answer, texts.join(", "));
  },
  compare: async () => {
    comparing = true;
    const result = await compare().finally(() => {
      comparing = false;
    });
    if (result.failed) return told(result.failed);
    showComparison(result);
    return { status: "The comparison is below." };
  },
  transfer: async () => {
    const json = { to: "bob", amount: 10 };
    return told(await call("POST", "/api/transfers", { json }), "Paid 10 to Bob");
  },
  payee: async () => {
    const answer = await call("POST", "/api/payees", { json: { to: "bob" } });
    return told(answer, "Bob is a payee now");
  },
  replay: async () => {
    const { status, error } = await sendAgain(last);
    if (status < 400) return { alert: "The same proof was good twice, which must not be." };
    return { status: `Refused, as it should be: ${status} ${error}. A proof is good once.` };
  },
  renew: async () => {
    const session = await sessions.load();
    if (!(await sessions.renew(session?.accessToken))) throw new SignedOutError();
    return { status: "The token is new; the key is the same." };
  },
  "log-out": async () => {
    const heard = await sessions.end();
    last = null;
    byId("wire").replaceChildren();
    byId("requests").hidden = true;
    const status = "You are logged out here. Keys and tokens are deleted.";
    return heard ? { status } : { status, alert: "The server could not be told." };
  },
};

for (const [id, act] of Object.entries(actions)) {
  byId(id).addEventListener("click", async () => {
    await perform(act);
    // The button that had the focus may be gone.
    if (id === "log-out") byId("log-in").focus();
  });
}

// Another tab may have logged out meanwhile, or the person came back by the history.
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") refreshView();
});
window.addEventListener("pageshow", ({ persisted }) => {
  if (persisted) perform(() => ({}));
});

byId("main").setAttribute("aria-busy", "false");
await perform(async () => {
  if (!login.isAnswer()) return {};
  await login.finish();
  await refreshView();
  byId("signed-in-title").focus();
  return { status: "You are logged in. The token is bound to the key of this page." };
});
