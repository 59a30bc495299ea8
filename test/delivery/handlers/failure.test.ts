import t from 'tap'
import { isPermanent, setbackOf } from '../../../src/delivery/handlers/failure.ts'
import * as errors from '../../../src/errors.ts'
import { callError, limitError } from '../../../src/portal/rest/call-error.ts'

const stated = (code: string) => callError('crm.item.get', { status: 400, code, description: 'Why' })
const gaveUp = new errors.FST_B24_GIVE_UP('this app knows no such deal')
const passing = new Error('may pass')
const limit = limitError('profile', 'OVERLOAD_LIMIT', 60_000)

t.test('what can never succeed is a dead letter at once, unless another handler still may', async t => {
  const cases: Array<[what: string, failures: Error[], status: string]> = [
    ['a handler that gives up', [gaveUp], 'dead'],
    ['an unknown method', [stated('ERROR_METHOD_NOT_FOUND')], 'dead'],
    ['an unknown method of REST 3', [stated('BITRIX_REST_V3_EXCEPTION_METHODNOTFOUNDEXCEPTION')], 'dead'],
    ['a missing scope', [stated('insufficient_scope')], 'dead'],
    ['an answer that is too large', [new errors.FST_B24_ANSWER_TOO_LARGE('crm.item.list', '1 bytes')], 'dead'],
    ['two that give up', [gaveUp, stated('INSUFFICIENT_SCOPE')], 'dead'],
    ['one that gives up and one that may succeed', [gaveUp, passing], 'failed'],
    ['one that gives up and one that waits', [gaveUp, limit], 'later'],
    ['one that waits and one that may succeed', [limit, passing], 'failed'],
    ['a portal that was blocked', [limit], 'later'],
    ['an item that is gone', [stated('')], 'failed'],
    ['any other error', [passing], 'failed']
  ]
  for (const [what, failures, status] of cases) t.match(setbackOf(failures, Date.now()), { status }, what)
  t.match(setbackOf([gaveUp], Date.now()), { error: { code: 'FST_B24_GIVE_UP', message: 'this app knows no such deal' } })
  t.match(setbackOf([limit], Date.now() - 25 * 60 * 60 * 1000), { status: 'failed' }, 'nothing waits for more than a day')
  t.notOk(isPermanent(limit))
})
