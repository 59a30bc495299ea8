import { integerOf, type Envelope } from '../../wire/envelope.ts'

/** Real ones are as short as `12` or `1.0.0`; the record is read at every event. */
const LONGEST_VERSION = 64

/** What the lifecycle events say beside the portal, its tokens and its addresses. */
export interface LifecycleData {
  /** Portal's time, Unix seconds; `undefined` where it did not fit. */
  ts: number | undefined
  version: string | undefined
  previousVersion: string | undefined
  /** The user asked to delete the app's data too. */
  clean: boolean
}

/**
 * Reads `ts` and `data` of a lifecycle event as they come from the wire.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/tree/main/api-reference/common/events
 */
export function readLifecycleData ({ ts, data }: Envelope): LifecycleData {
  const { VERSION, PREVIOUS_VERSION, CLEAN } = (data ?? {}) as Record<string, unknown>
  return {
    ts: integerOf(ts),
    version: textOf(VERSION),
    previousVersion: textOf(PREVIOUS_VERSION),
    clean: textOf(CLEAN) === '1'
  }
}

function textOf (value: unknown): string | undefined {
  const text = typeof value === 'number' ? String(value) : value
  return typeof text === 'string' && text.length <= LONGEST_VERSION ? text : undefined
}
