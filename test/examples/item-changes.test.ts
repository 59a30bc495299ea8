import t from 'tap'
import { changesOf } from '../../examples/item-changes.ts'
import { callError, unavailableError } from '../../src/portal/rest/call-error.ts'
import type { HandlerContext } from '../../src/index.ts'

type Answer = Record<string, unknown> | Error

/** What a handler gets, of a portal that answers so. */
function contextOf (memberId: string, answers: Answer[], state = 'active') {
  const calls: unknown[] = []
  const call = async (...args: unknown[]) => {
    calls.push(args)
    const answer = answers.shift()
    if (answer instanceof Error) throw answer
    return { item: answer }
  }
  const signal = new AbortController().signal
  return { context: { portal: { memberId, state, call }, signal } as unknown as HandlerContext, calls, signal }
}

t.test('tells what an item is at first sight, and then what changed', async t => {
  const { context, calls, signal } = contextOf('first', [
    { title: 'Coffee', stageId: 'NEW', opportunity: 100, updatedTime: '1' },
    { title: 'Coffee', stageId: 'WON', opportunity: 100, updatedTime: '2', movedBy: 7 },
    { title: 'Coffee', stageId: 'WON', opportunity: 100, updatedTime: '3' },
    { title: 'Tea\u001b[2J', stageId: 'WON', comments: 'x'.repeat(100) }
  ])
  t.equal(await changesOf(1220, 24, context), '"Coffee", stage "NEW"')
  t.strictSame(calls, [['crm.item.get', { entityTypeId: 1220, id: 24 }, { signal }]])
  t.equal(await changesOf(1220, 24, context), 'stageId: "NEW" → "WON"')
  t.equal(await changesOf(1220, 24, context), 'no change')
  t.equal(await changesOf(1220, 24, context), `title: "Coffee" → "Tea\\u001b[2J", opportunity: 100 → nothing, comments: nothing → "${'x'.repeat(59)}`)
})

t.test('a portal that says no is not asked again; what may pass is thrown, so that the event is tried again', async t => {
  const no = (status: number, code: string) => callError('crm.item.get', { status, code, description: '' })
  const { context } = contextOf('second', [no(400, 'NOT_FOUND'), no(403, 'ACCESS_DENIED'), no(503, 'OVERLOAD_LIMIT'), unavailableError('status 502')])
  t.equal(await changesOf(2, 1, context), 'cannot be read: "NOT_FOUND"')
  t.equal(await changesOf(2, 1, context), 'cannot be read: "ACCESS_DENIED"')
  await t.rejects(changesOf(2, 1, context), { code: 'FST_B24_PORTAL_CALL' })
  await t.rejects(changesOf(2, 1, context), { code: 'FST_B24_PORTAL_UNAVAILABLE' })
})

t.test('a portal of a webhook is not asked', async t => {
  const { context, calls } = contextOf('third', [], 'webhook')
  t.match(await changesOf(2, 1, context), 'a webhook')
  t.strictSame(calls, [])
})

t.test('forgets the item that was seen longest ago when there are too many', async t => {
  const seen = { title: 'Coffee', stageId: 'NEW' }
  const { context } = contextOf('fourth', Array.from({ length: 1_005 }, () => seen))
  for (let id = 1; id <= 1_000; id++) await changesOf(2, id, context)
  t.equal(await changesOf(2, 1, context), 'no change')
  await changesOf(2, 1_001, context)
  t.equal(await changesOf(2, 1, context), 'no change', 'used a moment ago')
  t.match(await changesOf(2, 2, context), '"Coffee"', 'gone')
})
