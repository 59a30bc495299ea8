import { FST_B24_INVALID_FILTER } from '../../errors.ts'
import { baseCode } from '../../events/definition-of.ts'
import type { LetterFilter } from '../../queue/queue.ts'

/** Which dead letters are meant; `{}`: all. */
export interface DeadLetterFilter {
  memberId?: string
  /** Name or code of the event, in any case; without a type suffix, those with one are meant too. */
  event?: string
}

const KEYS: readonly string[] = ['memberId', 'event'] satisfies Array<keyof DeadLetterFilter>

/**
 * Refuses whatever may be a slip: a filter that says less than was meant would throw away what is kept.
 *
 * @throws FST_B24_INVALID_FILTER
 */
export function checkLetterFilter (filter: unknown): DeadLetterFilter {
  // A Map or a promise has no keys either, and does not mean all.
  if (Object.prototype.toString.call(filter) !== '[object Object]') throw new FST_B24_INVALID_FILTER('an id or an object is needed')
  for (const [key, value] of Object.entries(filter as object)) {
    if (!KEYS.includes(key)) throw new FST_B24_INVALID_FILTER(`there is no '${key}', only ${KEYS.join(' and ')}`)
    if (typeof value !== 'string') throw new FST_B24_INVALID_FILTER(`${key} must be a string; left out, it means all`)
  }
  return filter as DeadLetterFilter
}

/** What a filter asks of a letter; `undefined` for nothing. */
export function meets ({ memberId, event }: DeadLetterFilter): LetterFilter | undefined {
  if (memberId === undefined && event === undefined) return undefined
  const wanted = event?.toUpperCase()
  return letter => (memberId ?? letter.memberId) === letter.memberId && (wanted === undefined || [letter.code, baseCode(letter.code)].includes(wanted))
}
