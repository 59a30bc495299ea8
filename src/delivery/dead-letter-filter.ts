import { FST_B24_INVALID_FILTER } from '../errors.ts'

/** Which dead letters are meant; `{}`: all. */
export interface DeadLetterFilter {
  memberId?: string
  /** Name or code of the event, in any case. */
  event?: string
}

const KEYS: readonly string[] = ['memberId', 'event'] satisfies Array<keyof DeadLetterFilter>

/**
 * Refuses whatever may be a slip: a filter that says less than was meant would throw away what is kept.
 *
 * @throws FST_B24_INVALID_FILTER
 */
export function checkFilter (filter: unknown): DeadLetterFilter {
  // A Map or a promise has no keys either, and does not mean all.
  if (Object.prototype.toString.call(filter) !== '[object Object]') throw new FST_B24_INVALID_FILTER('an id or an object is needed')
  for (const [key, value] of Object.entries(filter as object)) {
    if (!KEYS.includes(key)) throw new FST_B24_INVALID_FILTER(`there is no '${key}', only ${KEYS.join(' and ')}`)
    if (typeof value !== 'string') throw new FST_B24_INVALID_FILTER(`${key} must be a string; left out, it means all`)
  }
  return filter as DeadLetterFilter
}
