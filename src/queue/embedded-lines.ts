import type { Database } from 'lmdb'
import { parseJson } from './embedded-record.ts'

/** [lane, number of the first] → events that were taken in at once, a line each. */
export type Lines = Database<string, [lane: number, number: number]>

/** An event as it was taken in. */
export interface Line {
  event: unknown
  /** JSON of it. */
  text: string
  /** How many deliveries it stands for, where it was a dead letter: what waits is newer. */
  coalesced?: number
}

/** Lines of one entry: the worker puts all of them in line at once. */
const MOST_LINES = 100
const LANES = [0, 1]
/** After every number. */
const END = Number.MAX_SAFE_INTEGER

/** Text of a line; JSON has no line break in it. */
export function lineOf (event: string, coalesced?: number): string {
  return coalesced === undefined ? `[${event}]` : `[${event},${coalesced}]`
}

/** Reads a line; of a text that is none, the text counts as the event. */
export function parseLine (line: string): Line {
  const found = parseJson(line)
  if (!Array.isArray(found) || found.length === 0) return { event: line, text: JSON.stringify(line) }
  const [event, coalesced] = found as [unknown, unknown]
  if (coalesced === undefined) return { event, text: line.slice(1, -1) }
  return { event, text: JSON.stringify(event), coalesced: Number(coalesced) || 1 }
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
