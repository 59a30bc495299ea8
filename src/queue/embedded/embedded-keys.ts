import { createHash } from 'node:crypto'
import type { QueuedEvent } from '../queue.ts'

/** A longer text counts by its digest: a key of LMDB has a limit, in bytes. */
const LONGEST_KEY = 200

/** Lane of lifecycle events. */
export const FIRST = 0
const OTHERS = 1

/** Where an event belongs. */
export interface EventKeys {
  /** `FIRST` goes before others. */
  lane: number
  /** Who takes a turn for it. */
  portal: string
  /** Item of the portal, where the event names one. */
  item?: string
  /** Equal for events that coalesce. */
  repeat?: string
}

/** Reads the keys of an event; of what is no event too. */
export function keysOf (event: unknown): EventKeys {
  const { memberId, turn = memberId, code, first, item, coalesce } = (event ?? {}) as Partial<QueuedEvent>
  const keys: EventKeys = { lane: first === true ? FIRST : OTHERS, portal: keyOf([turn]) }
  if (typeof item !== 'string') return keys
  keys.item = keyOf([memberId, item])
  if (coalesce === true) keys.repeat = keyOf([memberId, code, item])
  return keys
}

/** As JSON, since LMDB takes no NUL in a key. */
export function keyOf (parts: unknown[]): string {
  const text = JSON.stringify(parts)
  return text.length <= LONGEST_KEY ? text : createHash('sha256').update(text).digest('hex')
}
