import { createInterface } from 'node:readline'
import Fastify from 'fastify'
import fastifyBitrix24, { type FastifyBitrix24Options } from '../../src/index.ts'
import type { TokenOrder } from './token-process.ts'

/** What came of so many calls of a portal, all at once. */
export interface CallReport {
  succeeded: number
  errors: string[]
}

// A process of an app with the plugin that calls portals, and takes events at the URL that it says when it is ready.
const app = Fastify({ forceCloseConnections: true, logger: { level: 'warn', stream: process.stderr } })
await app.register(fastifyBitrix24, JSON.parse(process.env['APP_SETTINGS'] as string) as FastifyBitrix24Options)
app.bitrix24.addHook('onReauthRequired', ({ portal }) => say({ reported: ['reauthRequired', portal.memberId] }))
app.bitrix24.addHook('onPortalRenamed', ({ portal, from, to }) => say({ reported: ['renamed', portal.memberId, from, to] }))
await app.listen({ port: 0, host: '127.0.0.1' })

say(`${app.listeningOrigin}/bitrix24/events`)
for await (const line of createInterface({ input: process.stdin })) work(JSON.parse(line))

async function work ({ memberId, count }: TokenOrder): Promise<void> {
  const outcomes = await Promise.allSettled(Array.from({ length: count }, async () => {
    const portal = await app.bitrix24.portal(memberId)
    return await portal!.call('profile')
  }))
  const errors = outcomes.flatMap(outcome => outcome.status === 'rejected' ? [outcome.reason.code ?? outcome.reason.message] : [])
  say({ memberId, report: { succeeded: outcomes.length - errors.length, errors: [...new Set(errors)] } satisfies CallReport })
}

function say (line: unknown): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}
