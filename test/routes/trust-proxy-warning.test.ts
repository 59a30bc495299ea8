import type { FastifyServerOptions } from 'fastify'
import t, { type Test } from 'tap'
import { buildWorld } from '../helpers/app.ts'

/** Warnings after sequential requests with these headers. */
async function warningsOf (t: Test, server: FastifyServerOptions, ...requests: Array<Record<string, string>>) {
  const { app, eventsUrl, logs } = await buildWorld(t, {}, server)
  for (const headers of requests) {
    await fetch(eventsUrl, { headers })
    await fetch(eventsUrl, { method: 'POST', headers: { ...headers, 'content-type': 'application/json' }, body: '{}' })
  }
  await app.close()
  return logs.map(line => JSON.parse(line)).filter(({ code }) => code === 'FST_B24_WRN_TRUST_PROXY')
}

t.test('warns once about a forwarding header without trustProxy', async t => {
  const [direct, named, forwarded] = [{}, { 'x-forwarded-for': '192.0.2.1' }, { forwarded: 'for=192.0.2.1' }]
  t.match(await warningsOf(t, {}, direct, named, named, forwarded), [{ level: 40, msg: /'x-forwarded-for', but Fastify's trustProxy is off/ }])
  t.match(await warningsOf(t, {}, forwarded), [{ msg: /'forwarded'/ }])
  t.strictSame(await warningsOf(t, {}, direct), [])
  t.strictSame(await warningsOf(t, { trustProxy: true }, named, forwarded), [])
  t.strictSame(await warningsOf(t, { trustProxy: '127.0.0.1' }, named, forwarded), [])
})
