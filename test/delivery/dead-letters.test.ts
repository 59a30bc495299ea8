import t, { type Test } from 'tap'
import type { DeadLetters, FastifyBitrix24Options } from '../../src/index.ts'
import { untilIdle } from '../../src/testing/index.ts'
import { buildWorld } from '../helpers/app.ts'
import { until } from '../helpers/until.ts'

/** An app with one dead letter for each of the codes. */
async function worldOfDead (t: Test, codes: string[], options: Partial<FastifyBitrix24Options> = {}) {
  const { app: { bitrix24 }, b24, eventsUrl } = await buildWorld(t, { delivery: { attempts: 1 }, ...options })
  const portal = b24.portal('acme.bitrix24.com')
  t.equal((await portal.install(eventsUrl)).statusCode, 200)
  await untilIdle(bitrix24)
  bitrix24.onAny(async () => { throw new Error('no luck') })
  for (const [i, code] of codes.entries()) t.equal((await portal.send(code, { FIELDS: { ID: i + 1, ENTITY_TYPE_ID: 1220 } })).statusCode, 200)
  await until(async () => (await bitrix24.health()).queue?.dead === codes.length, 'all are dead')
  return { bitrix24, portal, deadLetters: bitrix24.deadLetters, dead: async () => (await bitrix24.health()).queue?.dead }
}

const VERBS = ['list', 'replay', 'discard'] as const

t.test('a filter that may not say what was meant is refused, and moves nothing', async t => {
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
  t.equal((await deadLetters.list()).letters.length, 2)
  t.equal(await deadLetters.discard({}), 2, 'a literal {} means all')
})
