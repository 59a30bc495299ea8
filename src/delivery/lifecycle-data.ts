import type { Envelope } from '../wire/envelope.ts'

/** What the lifecycle events say beside the portal, its tokens and its addresses. */
export interface LifecycleData {
  /** Portal's time, Unix seconds. */
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
    ts: ts === undefined ? undefined : Number(ts),
    version: textOf(VERSION),
    previousVersion: textOf(PREVIOUS_VERSION),
    clean: String(CLEAN) === '1'
  }
}

function textOf (value: unknown): string | undefined {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined
}
