// Checked by `tsc --noEmit`, never run: what the types of the options and of `app.bitrix24` promise.
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { Cluster, Redis } from 'ioredis'
import type {
  Bitrix24, Bitrix24Event, DeadLetter, DeadLetterFilter, DeadLetterList, DeliveryOptions, FastifyBitrix24Options, HandlerContext, HandlerOptions, Health,
  LifecycleContext, Portal, RejectReason
} from '../../src/index.ts'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false
function expect<T extends true> (): T | undefined { return undefined }

declare const bitrix24: Bitrix24
expect<Equal<FastifyInstance['bitrix24'], Bitrix24>>()
declare const cursor: string | undefined

// Lifecycle hooks: the fact and the context of each.
bitrix24.addHook('onInstall', (fact, context) => {
  expect<Equal<typeof fact, { portal: Portal, reinstall: boolean }>>()
  expect<Equal<typeof context, HandlerContext>>()
})
bitrix24.addHook('onUpdate', ({ version, previousVersion }) => { expect<Equal<[typeof version, typeof previousVersion], [string | undefined, string | undefined]>>() })
bitrix24.addHook('onUninstall', async ({ portal, clean }, { signal }) => { expect<Equal<[typeof portal, typeof clean, typeof signal], [Portal, boolean, AbortSignal]>>() })
bitrix24.addHook('onUserReady', ({ userId }) => { expect<Equal<typeof userId, number | undefined>>() })
bitrix24.addHook('onReject', (fact, context) => {
  expect<Equal<typeof fact, { reason: RejectReason, memberId: string, event: string }>>()
  expect<Equal<typeof context, LifecycleContext>>()
})
bitrix24.addHook('onDeadLetter', ({ deadLetter }, { log }) => { expect<Equal<[typeof deadLetter, typeof log], [DeadLetter, FastifyBaseLogger]>>() })
bitrix24.addHook('onHandlerError', ({ error, portal, event, hook }) => {
  expect<Equal<[typeof error, typeof portal], [Error, Portal]>>()
  if (event !== undefined) expect<Equal<[typeof event, typeof hook], [Bitrix24Event, undefined]>>()
  else expect<Equal<typeof hook, 'onInstall' | 'onUpdate' | 'onUninstall' | 'onUserReady'>>()
})
bitrix24.addHook('onHandlerError', (fact) => {
  if ('event' in fact && fact.event !== undefined) expect<Equal<typeof fact.event, Bitrix24Event>>()
})
// @ts-expect-error there is no such hook
bitrix24.addHook('onTeapot', () => {})
// @ts-expect-error a hook is a function
bitrix24.addHook('onInstall', 'install')
// @ts-expect-error an install is not clean
bitrix24.addHook('onInstall', ({ clean }) => clean)
// @ts-expect-error nobody aborts what is only told
bitrix24.addHook('onDeadLetter', (_fact, { signal }) => signal)
// @ts-expect-error either an event or a hook has failed
bitrix24.addHook('onHandlerError', ({ event }) => event.id)

// Dead letters.
const { deadLetters } = bitrix24
expect<Equal<Awaited<ReturnType<typeof deadLetters.list>>, DeadLetterList>>()
expect<Equal<Awaited<ReturnType<typeof deadLetters.get>>, DeadLetter | undefined>>()
expect<Equal<Awaited<ReturnType<typeof deadLetters.replay>>, number>>()
deadLetters.list()
deadLetters.list({ memberId: 'acme', event: 'onCrmDealAdd', cursor, limit: 20 })
deadLetters.replay('id')
deadLetters.replay({})
deadLetters.discard({ memberId: 'acme', event: 'ONCRMDEALADD' })
export const filter: DeadLetterFilter = { event: 'onTaskAdd' }
// @ts-expect-error a key on the wire is none here
deadLetters.discard({ member_id: 'acme' })
// @ts-expect-error what may not be set would mean all
deadLetters.discard({ memberId: undefined })
// @ts-expect-error what is to be moved is always said
deadLetters.replay()
// @ts-expect-error an id is a string
deadLetters.get(5)
// @ts-expect-error pages of the list end by a number
deadLetters.list({ limit: '20' })
// @ts-expect-error what is shown cannot be changed
deadLetters.get('id').then(letter => { if (letter !== undefined) letter.attempts = 0 })

// Health.
export const { store, queue, events }: Health = await bitrix24.health()
expect<Equal<typeof store, 'ok' | 'unavailable'>>()
expect<Equal<typeof events.failedAttempts, number>>()
// @ts-expect-error a queue may not answer
export const waiting = queue.waiting

// Options.
const keys = { clientId: 'local.1', clientSecret: process.env['B24_CLIENT_SECRET'] }
declare const redis: Redis
declare const cluster: Cluster
export const options: FastifyBitrix24Options[] = [
  keys,
  { ...keys, redis: process.env['REDIS_URL'] },
  { ...keys, redis },
  { ...keys, redis: cluster },
  { ...keys, redis: { host: 'localhost', port: 6379 } },
  // @ts-expect-error the queue needs connections of its own
  { ...keys, redis: { mget: redis.mget, eval: redis.eval, ping: redis.ping } },
  // @ts-expect-error a secret is required
  { clientId: 'local.1' }
]
export const delivery: DeliveryOptions = { mode: 'queue', worker: false, concurrency: 4, deadLetters: { maxCount: 5 }, closeTimeoutMs: undefined }
// @ts-expect-error there is no such option
export const misspelt: DeliveryOptions = { handlerTimeout: 5 }
// @ts-expect-error there is no such mode
export const mode: DeliveryOptions = { mode: 'both' }
// @ts-expect-error the unit is in the name
export const letters: DeliveryOptions = { deadLetters: { maxAge: 5 } }
export const handler: HandlerOptions = { id: 'sync', coalesce: false }
