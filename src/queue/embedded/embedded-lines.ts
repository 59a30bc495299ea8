import { keysOf, type EventKeys } from './embedded-keys.ts'
import { parseJson } from './embedded-record.ts'
import type { QueuedEvent } from '../queue.ts'

/** An event as it was taken in. */
export interface Line {
  keys: EventKeys
  /** As JSON. */
  event: string
  /** Of what was a dead letter: what waits is newer. */
  replayed?: Replayed
}

/** What is kept of a dead letter that is tried anew. */
export interface Replayed {
  /** How many deliveries it stands for. */
  coalesced: number
  progress?: unknown
}

/** What stands before the event, so that the worker need not read all of it. */
type Heading = Partial<Pick<QueuedEvent, 'memberId' | 'turn' | 'code' | 'first' | 'item' | 'coalesce'>> & { replayed?: Replayed | undefined }

/** Text of a line; JSON has neither a tab nor a line break in it. */
export function lineOf (event: unknown, replayed?: Replayed): string {
  const { memberId, turn, code, first, item, coalesce } = (event ?? {}) as Partial<QueuedEvent>
  return `${JSON.stringify({ memberId, turn, code, first, item, coalesce, replayed } as Heading)}\t${JSON.stringify(event)}`
}

/** Reads a line; of a text that is none, the text counts as the event. */
export function parseLine (line: string): Line {
  const end = line.indexOf('\t')
  const heading = parseJson(line.slice(0, Math.max(end, 0))) as Heading | null | undefined
  if (heading === undefined || heading === null) return { keys: keysOf(line), event: JSON.stringify(line) }
  const { replayed } = heading
  return { keys: keysOf(heading), event: line.slice(end + 1), ...(replayed !== undefined && { replayed: { ...replayed, coalesced: Number(replayed.coalesced) || 1 } }) }
}
