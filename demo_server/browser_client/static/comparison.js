// The same request with both kinds of proof, many times, taking turns.

import { call, hasMac } from "./api.js";
import { load } from "./session.js";

const ROUNDS = 15;

/** Return medians and the last answer of each kind; null for one that cannot be had. */
export async function compare() {
  const session = await load();
  const kinds = session && hasMac(session) ? ["asymmetric", "symmetric"] : ["asymmetric"];
  const answers = { asymmetric: [], symmetric: [] };
  // The first ones pay for connections and nonces; they do not count.
  for (let round = -1; round < ROUNDS; round += 1) {
    for (const kind of kinds) {
      const answer = await call("GET", "/api/accounts", { kind });
      if (answer.status !== 200) return { failed: answer };
      if (round >= 0) answers[answer.kind].push(answer);
    }
  }
  return { asymmetric: summary(answers.asymmetric), symmetric: summary(answers.symmetric) };
}

function summary(answers) {
  if (!answers.length) return null;
  const median = (name) => {
    const sorted = answers.map((answer) => answer[name]).sort((a, b) => a - b);
    return sorted[sorted.length >> 1];
  };
  return {
    last: answers.at(-1),
    count: answers.length,
    makingMs: median("makingMs"),
    roundTripMs: median("roundTripMs"),
  };
}
