import { renameSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { Bitrix24, type Bitrix24Parts } from '../src/bitrix24.ts'
import { newEventCounts } from '../src/delivery/receive-outcome.ts'
import { FST_B24_STORE_UNAVAILABLE } from '../src/errors.ts'
import { waitForIdle } from '../src/testing/index.ts'
import { buildApp, buildWorld, temporaryFolder } from './helpers/app.ts'
import { secret } from './helpers/secrets.ts'

const COUNTS = { waiting: 1, active: 2, dead: 3 }

t.test('health asks the store and the queue at the same time, and never rejects', async t => {
  const away = async (): Promise<never> => {
    await sleep(500)
    throw new FST_B24_STORE_UNAVAILABLE()
  }
  const cases: Array<[get: () => Promise<undefined>, queueCounts: Bitrix24Parts['queueCounts'], expected: object]> = [
    [async () => undefined, async () => COUNTS, { store: 'ok', queue: COUNTS }],
    [away, async () => COUNTS, { store: 'unavailable', queue: COUNTS }],
    [async () => undefined, away, { store: 'ok', queue: undefined }],
    [away, away, { store: 'unavailable', queue: undefined }]
  ]
  for (const [get, queueCounts, expected] of cases) {
    const nothing = () => {}
    const bitrix24 = new Bitrix24({
      handlers: { on: nothing, off: nothing, onAny: nothing, offAny: nothing },
      store: { get },
      queueCounts,
      oldestWaitingAt: get,
      count: () => ({ events: newEventCounts(), schemaMismatches: {}, blocked: [] })
    } as unknown as Bitrix24Parts)
    const began = performance.now()
    t.match(await bitrix24.health(), expected)
    t.ok(performance.now() - began < 950, 'not one after the other')
  }
})

t.test('where handlers run before the answer, nothing ever waits', async t => {
  const { app } = await buildApp(t, { clientId: 'local.inline', clientSecret: secret(), delivery: { mode: 'inline' } })
  const began = performance.now()
  await waitForIdle(app.bitrix24)
  t.ok(performance.now() - began < 3_000)
  t.match(await app.bitrix24.health(), { store: 'ok', queue: { waiting: 0, active: 0, dead: 0 } })
})

t.test('health sees that the folder of SQLite is gone, as events do, and that it is back', async t => {
  const dataDir = temporaryFolder(t)
  const { app, b24, eventsUrl, logs } = await buildWorld(t, { dataDir: `${dataDir}/data` })
  const portal = b24.portal('acme.bitrix24.com')
  await portal.install(eventsUrl)
  await waitForIdle(app.bitrix24)
  t.match(await app.bitrix24.health(), { store: 'ok' })
  renameSync(`${dataDir}/data`, `${dataDir}/away`)
  t.equal((await portal.send('onCrmDealAdd', { FIELDS: { ID: 7 } })).statusCode, 503)
  t.match(await app.bitrix24.health(), { store: 'unavailable' })
  const lines = logs.filter(line => line.includes('failed to store event')).map(line => JSON.parse(line))
  t.match(lines, [{ level: 50, event: 'ONCRMDEALADD', memberId: portal.memberId, isVerified: false }], 'the log tells which event it was')
  renameSync(`${dataDir}/away`, `${dataDir}/data`)
  t.match(await app.bitrix24.health(), { store: 'ok' })
  t.equal((await portal.send('onCrmDealAdd', { FIELDS: { ID: 7 } })).statusCode, 200)
})

t.test('waitForIdle says what keeps it waiting', async t => {
  const of = (queue: { waiting: number, active: number } | undefined) => waitForIdle({ health: async () => ({ queue }) }, 30)
  await t.rejects(of({ waiting: 1, active: 0 }), { message: /"waiting":1.*another attempt: see the log, or set delivery\.attempts to 1 in tests$/ })
  await t.rejects(of({ waiting: 0, active: 1 }), { message: /"active":1\}$/ })
  await t.rejects(of(undefined), { message: /the queue does not answer$/ })
})
