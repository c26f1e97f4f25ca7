// dpop makes proofs and no requests: these are plain ones of fetch.

import { calculateThumbprint, generateKeyPair, generateProof } from 'dpop'
import { createHash, randomBytes } from 'node:crypto'
import { authorize, divert, input, recordedFetch, report, sendAgain } from './exchange.mjs'

let keys
let nonces

async function start() {
  keys = await generateKeyPair(input.algorithm)
  nonces = {}
}

async function send(method, url, { token, headers, body } = {}) {
  const { origin } = new URL(url)
  for (;;) {
    const nonce = nonces[origin]
    const proof = await generateProof(keys, url, method, nonce, token)
    const authorization = token && { authorization: `DPoP ${token}` }
    const response = await recordedFetch(url, {
      method,
      body,
      headers: { dpop: proof, ...authorization, ...headers },
    })
    nonces[origin] = response.headers.get('dpop-nonce') ?? nonce
    if (response.ok || nonces[origin] === nonce) return response
  }
}

async function requestToken(parameters, headers) {
  const body = new URLSearchParams(parameters)
  const response = await send('POST', `${input.issuer}/token`, { body, headers })
  return response.json()
}

await start()
const credentials = Buffer.from(`demo-confidential:${input.secret}`).toString('base64')
let tokens = await requestToken(
  { grant_type: 'client_credentials', scope: 'accounts' },
  { authorization: `Basic ${credentials}` },
)
report('client_credentials', { tokenType: tokens.token_type })
await sendAgain()
report('replay_at_token_endpoint')
await send('GET', `${input.api}/api/accounts`, { token: tokens.access_token })
report('accounts')

await start()
const verifier = randomBytes(32).toString('base64url')
const query = new URLSearchParams({
  response_type: 'code',
  client_id: 'demo-public',
  redirect_uri: input.redirectUri,
  scope: 'accounts transfers profile',
  code_challenge: createHash('sha256').update(verifier).digest('base64url'),
  code_challenge_method: 'S256',
  dpop_jkt: await calculateThumbprint(keys.publicKey),
})
const callback = await authorize(`${input.issuer}/authorize?${query}`)
tokens = await requestToken({
  grant_type: 'authorization_code',
  client_id: 'demo-public',
  code: callback.searchParams.get('code'),
  redirect_uri: input.redirectUri,
  code_verifier: verifier,
})
report('authorization_code', { tokenType: tokens.token_type })
tokens = await requestToken({
  grant_type: 'refresh_token',
  client_id: 'demo-public',
  refresh_token: tokens.refresh_token,
})
report('refresh_token', { tokenType: tokens.token_type })

const token = tokens.access_token
const user = await send('GET', `${input.issuer}/userinfo`, { token })
report('userinfo', { subject: (await user.json()).sub })
await send('POST', `${input.api}/api/transfers`, {
  token,
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ to: 'bob', amount: 10 }),
})
report('transfers')
await sendAgain()
report('replay')
divert(`${input.api}/api/accounts`)
await send('GET', `${input.api}/api/echo/elsewhere`, { token })
report('other_target')
