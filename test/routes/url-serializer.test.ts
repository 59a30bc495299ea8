import Fastify, { type FastifyServerOptions } from 'fastify'
import t from 'tap'
import { withoutQuery } from '../../src/routes/url-serializer.ts'

const cases: Array<[what: string, serializers: Record<string, (request: never) => unknown> | undefined, expected: unknown]> = [
  ['that of Fastify', undefined, { method: 'GET', url: '/install' }],
  ['one of the host', { req: () => ({ path: '/x', url: '/install?APP_SID=1#x', tenant: 5 }) }, { path: '/x', url: '/install', tenant: 5 }],
  ['one of the host that writes no more than a text', { req: () => 'GET /install?APP_SID=1' }, { method: 'GET', url: '/install' }]
]
for (const [what, serializers, expected] of cases) {
  t.test(`the log has no query, whatever writes it: ${what}`, async t => {
    const lines: string[] = []
    const stream = { write: (line: string) => { lines.push(line) } }
    const app = Fastify({ logger: { stream, ...(serializers !== undefined && { serializers }) } } as FastifyServerOptions)
    t.teardown(() => app.close())
    app.get('/install', { logSerializers: withoutQuery(app.log) }, async () => 'ok')
    await app.inject('/install?APP_SID=1')
    t.match(JSON.parse(lines[0] as string).req, expected)
    t.notMatch(lines.join(''), 'APP_SID')
  })
}

t.test('a host without a logger', async t => {
  const { req } = withoutQuery(Fastify().log)
  t.strictSame(req({ method: 'POST', url: '/install?APP_SID=1' } as never), { method: 'POST', url: '/install' })
})
