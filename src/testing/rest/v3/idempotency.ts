import type { Answer } from '../../oauth/oauth-answers.ts'
import { refusal } from './error.ts'
import type { CallV3 } from './method.ts'

const KEY = /^[\x20-\x7e]{1,255}$/
/** Methods that change nothing, whose key does not count. */
const READS = /\.(get|list|tail|aggregate|fields|openapi)$|^batch$/

/**
 * Runs a call, or gives the first answer again when the same key comes with the same parameters.
 *
 * @throws RestError for a key that is none, and for one that other parameters had
 */
export async function answerOnce (call: CallV3, { method, key }: { method: string, key: string | undefined }, run: (call: CallV3) => Promise<object>): Promise<Answer> {
  if (key === undefined || READS.test(method)) return [200, await run(call)]
  if (!KEY.test(key)) throw refusal(400, 'INVALIDIDEMPOTENCYKEYEXCEPTION', 'The idempotency key is not valid')
  const { portal: { idempotentAnswers }, pair: { clientId, userId }, params } = call
  const keyed = { clientId, userId, method, key, params }
  const known = idempotentAnswers.find(keyed)
  if (known === 'other') throw refusal(422, 'IDEMPOTENCYKEYREUSEDEXCEPTION', 'The idempotency key was used with another request body')
  if (known !== undefined) return [200, known, { 'Idempotency-Key': key, 'Idempotent-Replayed': 'true' }]
  const body = await run(call)
  idempotentAnswers.keep(keyed, body)
  return [200, body, { 'Idempotency-Key': key }]
}
