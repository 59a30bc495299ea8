/** An event with what the queue knows about it. */
export interface EventRecord {
  /** As it was found. */
  event: unknown
  /** Attempts that have failed. */
  attempt: number
  coalesced: number
  progress?: unknown
  /** Attempts of those that a worker died of: they count on, whatever comes in. */
  deaths?: number
  /** Held back until then because it failed last, by the clock. */
  until?: number
}

/** Reads a record; of a text that is none, the text counts as the event. */
export function parseRecord (text: string): EventRecord {
  return asRecord(parseJson(text)) ?? { event: text, attempt: 0, coalesced: 1 }
}

/** Takes what was parsed for a record, or returns `undefined` where it is none. */
export function asRecord (found: unknown): EventRecord | undefined {
  const { event, attempt, coalesced, progress, deaths, until } = (found ?? {}) as Partial<EventRecord>
  if (event === undefined) return undefined
  return { event, attempt: Number(attempt) || 0, coalesced: Number(coalesced) || 1, progress, ...(typeof deaths === 'number' && { deaths }), ...(typeof until === 'number' && { until }) }
}

/** Text of a record whose event is a text of JSON already. */
export function recordText (event: string, { attempt, coalesced, progress, deaths, until }: Omit<EventRecord, 'event'>): string {
  const rest = progress === undefined ? '' : `,"progress":${JSON.stringify(progress)}`
  const dead = deaths === undefined ? '' : `,"deaths":${deaths}`
  const end = until === undefined ? '' : `,"until":${until}`
  return `{"event":${event},"attempt":${attempt},"coalesced":${coalesced}${rest}${dead}${end}}`
}

/** What is left of the attempts when a repeat comes in: what killed a worker may kill the next one. */
export function anew ({ deaths }: Pick<EventRecord, 'deaths'>): Pick<EventRecord, 'attempt' | 'deaths'> {
  return { attempt: deaths ?? 0, ...(deaths !== undefined && { deaths }) }
}

export function parseJson (text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
