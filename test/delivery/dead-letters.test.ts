import t, { type Test } from 'tap'
import { DeadLetters } from '../../src/delivery/dead-letters.ts'
import type { FastifyBitrix24Options, InstallStore } from '../../src/index.ts'
import { WebhookTokens } from '../../src/installs/application-token.ts'
import type { DeadEvent, DeadLetterStore } from '../../src/storage/queued-event.ts'
import { sampleInstall, waitForIdle } from '../../src/testing/index.ts'
import { buildWorld } from '../helpers/app.ts'
import { STORAGES } from '../helpers/storages.ts'
import { until } from '../helpers/until.ts'

/** An app with one dead letter for each of the codes. */
async function worldOfDead (t: Test, codes: string[], options: Partial<FastifyBitrix24Options> = {}, kept = codes.length) {
  const { app: { bitrix24 }, b24, eventsUrl, logs } = await buildWorld(t, { delivery: { attempts: 1 }, ...options })
  const portal = b24.portal('acme.bitrix24.com')
  t.equal((await portal.install(eventsUrl)).statusCode, 200)
  await waitForIdle(bitrix24)
  bitrix24.onAny(async () => { throw new Error('no luck') })
  for (const [i, code] of codes.entries()) t.equal((await portal.send(code, { FIELDS: { ID: i + 1, ENTITY_TYPE_ID: 1220 } })).statusCode, 200)
  await until(async () => (await bitrix24.health()).queue?.dead === kept && (await bitrix24.health()).events.dead === codes.length, 'all are dead')
  return { bitrix24, portal, logs, deadLetters: bitrix24.deadLetters, dead: async () => (await bitrix24.health()).queue?.dead }
}

const VERBS = ['list', 'replay', 'discard'] as const

t.test('an ambiguous filter is rejected, and moves nothing', async t => {
  const { deadLetters, portal, dead } = await worldOfDead(t, ['onCrmDealAdd', 'onCrmLeadAdd'])
  const slips: Array<[filter: unknown, message: RegExp]> = [
    [{ member_id: portal.memberId }, /'member_id'/],
    [{ memberId: portal.memberId, name: 'onCrmDealAdd' }, /'name'/],
    [{ memberId: undefined }, /memberId/],
    [{ memberId: portal.memberId, event: undefined }, /event/],
    [{ event: null }, /event/],
    [{ event: ['onCrmDealAdd'] }, /event/],
    [{ memberId: 7 }, /memberId/]
  ]
  for (const [filter, message] of slips) {
    for (const verb of VERBS) {
      const ask = deadLetters[verb] as (this: DeadLetters, filter: unknown) => Promise<unknown>
      await t.rejects(ask.call(deadLetters, filter), { code: 'FST_B24_INVALID_FILTER', message }, `${verb} ${JSON.stringify(filter)}`)
    }
  }
  for (const nothing of [undefined, null, 7, [], new Map(), Promise.resolve('id')]) {
    for (const verb of ['replay', 'discard'] as const) await t.rejects(deadLetters[verb](nothing as never), { code: 'FST_B24_INVALID_FILTER' }, `${verb} ${String(nothing)}`)
  }
  t.equal(await dead(), 2)
  t.equal((await deadLetters.list()).items.length, 2)
  t.equal(await deadLetters.discard({}), 2, 'a literal {} means all')
})

t.test('replay reads each portal once', async t => {
  const letters = Array.from({ length: 250 }, (_, i): DeadEvent => ({
    id: `${i}`, memberId: ['acme', 'gone', 'unknown'][i % 3] as string, code: 'ONCRMDEALADD', receivedAt: 1, failedAt: 2, attempts: 3, coalesced: 1, error: { message: 'no' }
  }))
  const [asked, replayed]: [string[], string[]] = [[], []]
  const box: DeadLetterStore = {
    list: async (_filter, cursor = '0') => ({ items: letters.slice(Number(cursor), Number(cursor) + 100), ...(Number(cursor) < 200 && { cursor: `${Number(cursor) + 100}` }) }),
    get: async () => undefined,
    replay: async (id) => { replayed.push(id); return true },
    discard: async () => true
  }
  const store: InstallStore = {
    get: async (memberId) => {
      asked.push(memberId)
      return memberId === 'unknown' ? undefined : { version: 1, install: { ...sampleInstall(memberId), state: memberId === 'gone' ? 'uninstalled' : 'active' } }
    },
    swap: async () => true,
    scan: async () => ({ installs: [] })
  }
  const deadLetters = new DeadLetters(box, store, new WebhookTokens([]), () => false)
  t.equal(await deadLetters.replay({}), 84)
  t.strictSame(asked, ['acme', 'gone', 'unknown'])
  t.strictSame(replayed, letters.filter(({ memberId }) => memberId === 'acme').map(({ id }) => id))
})

for (const { storage, options } of STORAGES) {
  t.test(`lists dead letters, ${storage}`, async t => {
    const codes = ['ONCRMDYNAMICITEMUPDATE_147', 'ONCRMDYNAMICITEMUPDATE', 'ONCRMDYNAMICITEMUPDATE_148', 'ONCRMDEALADD', 'ONMYOWN_5', 'ONMYOWN']
    const { deadLetters } = await worldOfDead(t, codes, options(t))
    const found = async (event: string) => (await deadLetters.list({ event })).items.map(({ code }) => code).sort()

    await t.test('by name, by code and by base code', async t => {
      for (const { name, code } of (await deadLetters.list()).items) {
        t.ok((await found(name)).includes(code), `${code} by ${name}`)
        t.ok((await found(code.toLowerCase())).includes(code), `${code} by its code`)
      }
      t.strictSame(await found('onCrmDynamicItemUpdate'), codes.slice(0, 3).sort())
      t.strictSame(await found('ONCRMDYNAMICITEMUPDATE_147'), ['ONCRMDYNAMICITEMUPDATE_147'])
      t.strictSame(await found('onMyOwn'), ['ONMYOWN'], 'no documented event has this suffix')
      t.strictSame(await found(''), [])
    })

    await t.test('by id', async t => {
      const [deadLetter] = (await deadLetters.list()).items
      t.strictSame(await deadLetters.get(deadLetter!.id), deadLetter)
      for (const id of ['nobody', '']) t.equal(await deadLetters.get(id), undefined)
    })

    await t.test('in pages of any length', async t => {
      const all = (await deadLetters.list()).items
      const first = await deadLetters.list({ limit: 4 })
      t.strictSame(first.items, all.slice(0, 4))
      t.strictSame(await deadLetters.list({ cursor: first.cursor, limit: 4 }), { items: all.slice(4) })
      for (const limit of [0, 101, 1.5, -1, NaN, '5']) await t.rejects(deadLetters.list({ limit: limit as number }), { code: 'FST_B24_INVALID_FILTER', message: /limit/ }, String(limit))
      for (const cursor of ['no cursor', '', 7, {}]) await t.rejects(deadLetters.list({ cursor: cursor as string }), { code: 'FST_B24_INVALID_CURSOR', statusCode: 400 }, String(cursor))
    })

    t.equal(await deadLetters.discard({ event: 'onCrmDynamicItemUpdate' }), 3)
    t.equal(await deadLetters.replay({ event: 'onCrmDealAdd' }), 1)
  })
}

for (const { storage, options } of STORAGES) {
  t.test(`says that a dead letter was evicted before its time, ${storage}`, async t => {
    const delivery = { attempts: 1, deadLetters: { maxCount: 1 } }
    const { logs } = await worldOfDead(t, ['onCrmDealAdd', 'onCrmDealUpdate'], { ...options(t), delivery }, 1)
    const warnings = () => logs.filter(line => line.includes('dead-letter limit reached, evicting the oldest'))
    await until(() => warnings().length > 0, 'the log says so')
    t.match(JSON.parse(warnings()[0]!), { level: 40, evicted: 1, maxCount: 1 })
  })
}

t.test('a lifecycle event is replayed for any portal, others only for an installed one', async t => {
  const letters = ['ONAPPINSTALL', 'ONCRMDEALADD'].map((code, i): DeadEvent => ({
    id: `event-${i}`, memberId: 'nobody', code, receivedAt: 1, failedAt: 2, attempts: 1, coalesced: 1, error: { message: 'no' }
  }))
  const replayed: string[] = []
  const box = {
    list: async () => ({ items: letters }),
    get: async (id: string) => letters.find(deadLetter => deadLetter.id === id),
    replay: async (id: string) => replayed.push(id) > 0,
    discard: async () => false
  }
  const store = { get: async () => undefined, swap: async () => false, scan: async () => ({ installs: [] }) }
  const deadLetters = new DeadLetters(box, store, new WebhookTokens([]), code => code === 'ONAPPINSTALL')
  t.equal(await deadLetters.replay('event-0'), 1)
  await t.rejects(deadLetters.replay('event-1'), { code: 'FST_B24_PORTAL_GONE' })
  t.equal(await deadLetters.replay({}), 1)
  t.strictSame(replayed, ['event-0', 'event-0'])
})
