import t from 'tap'
import { DeadLetters } from '../../../src/delivery/dead-letters/dead-letters.ts'
import { WebhookTokens } from '../../../src/installs/webhook-tokens.ts'
import type { StoredLetter } from '../../../src/queue/queue.ts'

t.test('a lifecycle event is replayed whether its portal is known or not, any other only of a portal that is there', async t => {
  const letters = ['ONAPPINSTALL', 'ONCRMDEALADD'].map((code, i): StoredLetter => ({
    id: `event-${i}`, memberId: 'nobody', code, receivedAt: 1, failedAt: 2, attempts: 1, coalesced: 1, error: { message: 'no' }
  }))
  const replayed: string[] = []
  const box = {
    list: async () => ({ letters }),
    get: async (id: string) => letters.find(letter => letter.id === id),
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
