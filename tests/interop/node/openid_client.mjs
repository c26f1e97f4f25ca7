// openid-client as a client of the demo servers. It answers nonce challenges itself.

import * as openid from 'openid-client'
import { authorize, divert, input, recordedFetch, report, sendAgain } from './exchange.mjs'

async function configure(clientId, authentication) {
  const config = await openid.discovery(new URL(input.issuer), clientId, undefined, authentication, {
    algorithm: 'oauth2',
    execute: [openid.allowInsecureRequests],
  })
  config[openid.customFetch] = recordedFetch
  const keys = await openid.randomDPoPKeyPair(input.algorithm)
  return { config, DPoP: openid.getDPoPHandle(config, keys) }
}

function call({ config, DPoP }, token, method, path, body) {
  const headers = new Headers(body && { 'content-type': 'application/json' })
  const url = new URL(input.api + path)
  return openid.fetchProtectedResource(config, token, url, method, body, headers, { DPoP })
}

const service = await configure('demo-confidential', openid.ClientSecretBasic(input.secret))
let tokens = await openid.clientCredentialsGrant(
  service.config,
  { scope: 'accounts' },
  { DPoP: service.DPoP },
)
report('client_credentials', { tokenType: tokens.token_type })
await sendAgain()
report('replay_at_token_endpoint')
await call(service, tokens.access_token, 'GET', '/api/accounts')
report('accounts')

const app = await configure('demo-public', openid.None())
const verifier = openid.randomPKCECodeVerifier()
const state = openid.randomState()
const callback = await authorize(
  openid.buildAuthorizationUrl(app.config, {
    redirect_uri: input.redirectUri,
    scope: 'accounts transfers profile',
    code_challenge: await openid.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    dpop_jkt: await app.DPoP.calculateThumbprint(),
    state,
  }),
)
tokens = await openid.authorizationCodeGrant(
  app.config,
  callback,
  { pkceCodeVerifier: verifier, expectedState: state },
  undefined,
  { DPoP: app.DPoP },
)
report('authorization_code', { tokenType: tokens.token_type })
tokens = await openid.refreshTokenGrant(app.config, tokens.refresh_token, undefined, { DPoP: app.DPoP })
report('refresh_token', { tokenType: tokens.token_type })

const user = await openid.fetchUserInfo(app.config, tokens.access_token, 'alice', { DPoP: app.DPoP })
report('userinfo', { subject: user.sub })
const order = JSON.stringify({ to: 'bob', amount: 10 })
await call(app, tokens.access_token, 'POST', '/api/transfers', order)
report('transfers')
await sendAgain()
report('replay')
divert(`${input.api}/api/accounts`)
await call(app, tokens.access_token, 'GET', '/api/echo/elsewhere').catch(() => {})
report('other_target')
