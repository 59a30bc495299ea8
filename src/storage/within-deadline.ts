import { storeUnavailable } from './unavailable.ts'

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
