// What the scripts share: one JSON line per step, with the answers that the step got.
//
// The argument of a script is a JSON object. A script that needs a person prints an
// authorization URL and reads the URL of the callback from its standard input.

import { createInterface } from 'node:readline'

export const input = JSON.parse(process.argv[2])

export const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

let answers = []
let lastRequest
let nextURL

export function report(step, fields = {}) {
  console.log(JSON.stringify({ step, answers, ...fields }))
  answers = []
}

export async function authorize(url) {
  report('authorize', { url: `${url}` })
  return new URL((await lines.next()).value)
}

// The fetch of every library here.
export async function recordedFetch(url, options) {
  lastRequest = [nextURL ?? url, options]
  nextURL = undefined
  const response = await fetch(...lastRequest)
  answers.push(await describe(response))
  return response
}

// A proof that its library made, a second time.
export async function sendAgain() {
  await recordedFetch(...lastRequest)
}

// The next request goes to `url`, whatever its proof was made for.
export function divert(url) {
  nextURL = url
}

async function describe(response) {
  if (response.ok) return { status: response.status }
  const challenge = response.headers.get('www-authenticate')
  if (challenge === null) {
    const { error, error_description: description } = await response.clone().json()
    return { status: response.status, error, description }
  }
  return {
    status: response.status,
    error: /error="([^"]*)"/.exec(challenge)?.[1],
    description: /error_description="([^"]*)"/.exec(challenge)?.[1],
  }
}
