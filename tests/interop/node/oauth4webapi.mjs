// oauth4webapi as a client of the demo servers. It says when a nonce is asked for, and
// its caller sends the request again.

import * as oauth from 'oauth4webapi'
import { authorize, divert, input, recordedFetch, report, sendAgain } from './exchange.mjs'

const insecure = { [oauth.allowInsecureRequests]: true }
const issuer = new URL(input.issuer)
const server = await oauth.processDiscoveryResponse(
  issuer,
  await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure }),
)

async function configure(client, authentication) {
  const DPoP = oauth.DPoP(client, await oauth.generateKeyPair(input.algorithm))
  return { client, authentication, DPoP, options: { DPoP, [oauth.customFetch]: recordedFetch, ...insecure } }
}

// Once more, if all that was missing is the nonce.
async function withNonce(attempt) {
  try {
    return await attempt()
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error
    return attempt()
  }
}

function call(party, token, method, path, body) {
  const headers = new Headers(body && { 'content-type': 'application/json' })
  const url = new URL(input.api + path)
  return withNonce(() =>
    oauth.protectedResourceRequest(token, method, url, headers, body, party.options),
  )
}

const service = await configure({ client_id: 'demo-confidential' }, oauth.ClientSecretBasic(input.secret))
let tokens = await withNonce(async () =>
  oauth.processClientCredentialsResponse(
    server,
    service.client,
    await oauth.clientCredentialsGrantRequest(
      server,
      service.client,
      service.authentication,
      { scope: 'accounts' },
      service.options,
    ),
  ),
)
report('client_credentials', { tokenType: tokens.token_type })
await sendAgain()
report('replay_at_token_endpoint')
await call(service, tokens.access_token, 'GET', '/api/accounts')
report('accounts')

const app = await configure({ client_id: 'demo-public' }, oauth.None())
const verifier = oauth.generateRandomCodeVerifier()
const state = oauth.generateRandomState()
const url = new URL(server.authorization_endpoint)
url.search = new URLSearchParams({
  response_type: 'code',
  client_id: app.client.client_id,
  redirect_uri: input.redirectUri,
  scope: 'accounts transfers profile',
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
  code_challenge_method: 'S256',
  dpop_jkt: await app.DPoP.calculateThumbprint(),
  state,
})
const callback = oauth.validateAuthResponse(server, app.client, await authorize(url), state)
tokens = await withNonce(async () =>
  oauth.processAuthorizationCodeResponse(
    server,
    app.client,
    await oauth.authorizationCodeGrantRequest(
      server,
      app.client,
      app.authentication,
      callback,
      input.redirectUri,
      verifier,
      app.options,
    ),
  ),
)
report('authorization_code', { tokenType: tokens.token_type })
const refreshToken = tokens.refresh_token
tokens = await withNonce(async () =>
  oauth.processRefreshTokenResponse(
    server,
    app.client,
    await oauth.refreshTokenGrantRequest(server, app.client, app.authentication, refreshToken, app.options),
  ),
)
report('refresh_token', { tokenType: tokens.token_type })

const user = await withNonce(async () =>
  oauth.processUserInfoResponse(
    server,
    app.client,
    'alice',
    await oauth.userInfoRequest(server, app.client, tokens.access_token, app.options),
  ),
)
report('userinfo', { subject: user.sub })
const order = JSON.stringify({ to: 'bob', amount: 10 })
await call(app, tokens.access_token, 'POST', '/api/transfers', order)
report('transfers')
await sendAgain()
report('replay')
divert(`${input.api}/api/accounts`)
await call(app, tokens.access_token, 'GET', '/api/echo/elsewhere').catch(() => {})
report('other_target')
