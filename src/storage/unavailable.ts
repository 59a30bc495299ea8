import { FST_B24_STORE_UNAVAILABLE } from '../errors.ts'

/** What a command meets while there is no connection. */
const NO_CONNECTION = 'No connection to Redis'

/** Whether an error tells of a lost connection, not of what a server that is there says. */
export function isConnectionError ({ message, code }: NodeJS.ErrnoException): boolean {
  return /^E[A-Z_]+$/.test(String(code)) || message === NO_CONNECTION || /^(Connection is closed|Socket timeout|No answer within|Stream isn't writeable)/.test(message)
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
  const { name, message, code } = reason as NodeJS.ErrnoException
  // The text of ioredis advises an option that is not the user's to set. Node's AggregateError of a refused connection has a code
  // and no message.
  const bare: NodeJS.ErrnoException = new Error(name === 'MaxRetriesPerRequestError' ? NO_CONNECTION : message || code)
  if (code !== undefined) bare.code = code
  return bare
}

/**
 * Opens a storage at the start.
 *
 * @param storage the option that names it, and where it is
 * @throws FST_B24_STORE_UNAVAILABLE with both in its message, and the cause
 */
export async function openingStorage<T> (storage: string, open: () => Promise<T>): Promise<T> {
  try {
    return await open()
  } catch (error) {
    if (!(error instanceof FST_B24_STORE_UNAVAILABLE)) throw error
    const { message: reason } = error.cause as Error
    const message = `${error.message}: option ${storage}: ${reason}${hintAt(storage, reason)}`
    error.stack = error.stack?.replace(error.message, () => message) ?? message
    error.message = message
    throw error
  }
}

/** Where TLS is expected on one side only, both sides wait. */
function hintAt (storage: string, reason: string): string {
  if (!storage.startsWith('redis') || !reason.startsWith('No answer within')) return ''
  return storage.startsWith('redis rediss:') ? ' (if that Redis has no TLS, its URL starts with redis://)' : ' (if that Redis has TLS, its URL starts with rediss://)'
}

/** Time that a store has for one answer, ms. Less than a second, so that the 503 itself comes within one. */
const STORE_DEADLINE_MS = 900

/**
 * Settles as `answer` does, but within `ms`.
 * @throws FST_B24_STORE_UNAVAILABLE when `answer` rejects or comes too late. What was asked may then still happen.
 */
export function withinDeadline<T> (answer: Promise<T>, ms = STORE_DEADLINE_MS): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(storeUnavailable(new Error(`No answer within ${ms} ms`))), ms)
    answer.then((value) => {
      clearTimeout(timer)
      resolve(value)
    }, (reason) => {
      clearTimeout(timer)
      reject(storeUnavailable(reason))
    })
  })
}
