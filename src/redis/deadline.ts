import { FST_B24_STORE_UNAVAILABLE } from '../errors.ts'
import { TimeLimit } from '../time-limit.ts'

/** Time that a store has for one answer. Less than a second, so that the 503 itself comes within one. */
const STORE_LIMIT = new TimeLimit(900)

/**
 * Settles as `answer` does, but within the limit.
 * @throws FST_B24_STORE_UNAVAILABLE when `answer` rejects or comes too late. What was asked may then still happen.
 */
export async function withinDeadline<T> (answer: Promise<T>, limit = STORE_LIMIT): Promise<T> {
  try {
    return await limit.hold(answer, () => new Error(`No answer within ${limit.ms} ms`))
  } catch (reason) {
    throw storeUnavailable(reason)
  }
}

/** Makes the error that every failure of a store surfaces as. */
export function storeUnavailable (reason: unknown): Error {
  return FST_B24_STORE_UNAVAILABLE({ cause: bareError(reason) })
}

/**
 * Copies message and code alone: ioredis hangs the command with its arguments on its errors, which are a password (HELLO)
 * or a whole record (EVAL).
 */
export function bareError (reason: unknown): Error {
  const { message, code } = reason as NodeJS.ErrnoException
  // Node's AggregateError of a refused connection has a code and no message.
  const bare: NodeJS.ErrnoException = new Error(message || code)
  if (code !== undefined) bare.code = code
  return bare
}
