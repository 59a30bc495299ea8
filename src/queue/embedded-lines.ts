import type { Database } from 'lmdb'
import { keysOf, type EventKeys } from './embedded-keys.ts'
import { parseJson } from './embedded-record.ts'
import type { QueuedEvent } from './queue.ts'

/** [lane, number of the first] → events that were taken in at once, a line each. */
export type Lines = Database<string, [lane: number, number: number]>

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

/** Lines of one entry: the worker puts all of them in line at once. */
const MOST_LINES = 100
const LANES = [0, 1]
/** After every number. */
const END = Number.MAX_SAFE_INTEGER

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

/** Puts lines behind all others of their lane; inside of a change. */
export function putLines (intake: Lines, lane: number, lines: readonly string[]): void {
  let number = nextNumber(intake, lane)
  for (let at = 0; at < lines.length; at += MOST_LINES) {
    const some = lines.slice(at, at + MOST_LINES)
    intake.put([lane, number], some.join('\n'))
    number += some.length
  }
}

/** Takes the first lines out, those of lane 0 before others; inside of a change. */
export function takeLines (intake: Lines): string[] {
  const [entry] = intake.getRange({ limit: 1 })
  if (entry === undefined) return []
  intake.remove(entry.key)
  return entry.value.split('\n')
}

export function countLines (intake: Lines): number {
  return LANES.reduce((count, lane) => {
    const [first] = intake.getKeys({ start: [lane, 0], end: [lane, END], limit: 1 })
    return first === undefined ? count : count + nextNumber(intake, lane) - first[1]
  }, 0)
}

function nextNumber (intake: Lines, lane: number): number {
  const [last] = intake.getRange({ start: [lane, END], end: [lane, 0], reverse: true, limit: 1 })
  return last === undefined ? 1 : last.key[1] + last.value.split('\n').length
}
