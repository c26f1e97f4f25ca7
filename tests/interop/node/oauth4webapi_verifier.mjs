// oauth4webapi as the resource server: each line of the input is a request.

import * as oauth from 'oauth4webapi'
import { input, lines, report } from './exchange.mjs'

const insecure = { [oauth.allowInsecureRequests]: true }
const issuer = new URL(input.issuer)
const server = await oauth.processDiscoveryResponse(
  issuer,
  await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure }),
)
report('ready')
for await (const line of lines) {
  const { method, url, headers } = JSON.parse(line)
  const request = new Request(url, { method, headers })
  try {
    const claims = await oauth.validateJwtAccessToken(server, request, input.audience, {
      requireDPoP: true,
      ...insecure,
    })
    report('verified', { claims })
  } catch (error) {
    report('refused', { reason: error.message })
  }
}
