import { FST_B24_STORE_UNAVAILABLE } from '../errors.ts'

const NO_CONNECTION = 'No connection to Redis'

/** Returns whether an error means a lost connection, not a response of the server. */
export function isConnectionError ({ message, code }: NodeJS.ErrnoException): boolean {
  return /^E[A-Z_]+$/.test(String(code)) || message === NO_CONNECTION || /^(Connection is closed|Socket timeout|No answer within|Stream isn't writeable)/.test(message)
}

/** Wraps a failure of a store in the error that all stores throw. */
export function storeUnavailable (reason: unknown): Error {
  return FST_B24_STORE_UNAVAILABLE({ cause: bareError(reason) })
}

/**
 * Copies only message and code: errors of ioredis contain the command with its arguments, such as a password (HELLO) or a whole record (EVAL).
 */
export function bareError (reason: unknown): Error {
  const { name, message, code } = reason as NodeJS.ErrnoException
  // The message of ioredis suggests an option that users cannot set. Node's AggregateError of a refused connection has a code but no message.
  const bare: NodeJS.ErrnoException = new Error(name === 'MaxRetriesPerRequestError' ? NO_CONNECTION : message || code)
  if (code !== undefined) bare.code = code
  return bare
}

/**
 * Opens a storage at startup.
 *
 * @param storage name of the option and the address
 * @throws FST_B24_STORE_UNAVAILABLE with `storage` and the cause in its message
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

/** With TLS on one side only, both sides wait until the timeout. */
function hintAt (storage: string, reason: string): string {
  if (!storage.startsWith('redis') || !reason.startsWith('No answer within')) return ''
  return storage.startsWith('redis rediss:') ? ' (if this Redis does not use TLS, its URL must start with redis://)' : ' (if this Redis uses TLS, its URL must start with rediss://)'
}

/** Time limit of a store operation, ms. Below a second, so that the 503 response is sent within one. */
const STORE_DEADLINE_MS = 900

/**
 * Settles like `answer`, but within `ms`.
 * @throws FST_B24_STORE_UNAVAILABLE if `answer` rejects or is late; the operation may still be executed
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
