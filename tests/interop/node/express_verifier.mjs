// express-oauth2-jwt-bearer in front of one route, until the input ends.

import express from 'express'
import { auth } from 'express-oauth2-jwt-bearer'
import { input, lines, report } from './exchange.mjs'

const app = express()
app.use(auth({ issuerBaseURL: input.issuer, audience: input.audience, strict: true, dpop: { required: true } }))
app.get('/accounts', (request, response) => response.json({ subject: request.auth.payload.sub }))
app.use((error, request, response, next) => {
  response.status(error.status ?? 500).set(error.headers).json({ error: error.code, reason: error.message })
})

const server = app.listen(0, '127.0.0.1', () => {
  report('ready', { url: `http://127.0.0.1:${server.address().port}` })
})
await lines.next()
server.close()
server.closeAllConnections()
// Its own requests for metadata and keys leave connections that last as long as the
// issuer lets them.
process.exit(0)
