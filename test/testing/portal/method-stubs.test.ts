import t from 'tap'
import { IdempotentAnswers, type KeyedCall } from '../../../src/testing/portal/method-stubs.ts'

const CALL: KeyedCall = { clientId: 'a', userId: 1, method: 'tasks.task.add', key: 'k', params: { fields: { title: 'x' } } }

t.test('an answer is given again to the same call, for a day', async t => {
  let now = 0
  const answers = new IdempotentAnswers(() => now)
  answers.store(CALL, { result: 1 })
  t.strictSame(answers.find(CALL), { result: 1 })
  t.equal(answers.find({ ...CALL, params: { fields: { title: 'y' } } }), 'other')
  for (const other of [{ clientId: 'b' }, { userId: 2 }, { method: 'tasks.task.update' }, { key: 'l' }]) t.equal(answers.find({ ...CALL, ...other }), undefined)
  now = 24 * 3_600_000 - 1
  t.strictSame(answers.find(CALL), { result: 1 })
  now++
  t.equal(answers.find(CALL), undefined)
})
