import { firstKey, type EmbeddedTables } from './embedded-tables.ts'
import { keysOf, type EventKeys } from './embedded-keys.ts'
import { lineOf } from './embedded-lines.ts'
import { anew, parseRecord, recordText, type EventRecord } from './embedded-record.ts'
import { LineHeads } from './line-heads.ts'

/** After every `seq`. */
const END = Number.MAX_SAFE_INTEGER

/** Moves events between the tables. All of it happens inside of a change; see `EmbeddedCommits`. */
export class EventShelf {
  readonly #tables: EmbeddedTables
  readonly #clock: () => number
  readonly #heads: LineHeads
  /** Told of each portal that gets something to be handled. */
  readonly #announce: (lane: number, portal: string) => void

  constructor (tables: EmbeddedTables, clock: () => number, announce: (lane: number, portal: string) => void) {
    this.#tables = tables
    this.#clock = clock
    this.#heads = new LineHeads(tables)
    this.#announce = announce
  }

  /** Takes in what had been taken out, to go on with new attempts. */
  replay ({ event, coalesced, progress }: EventRecord): void {
    this.#tables.intake.put(keysOf(event).lane, lineOf(event, { coalesced, progress }))
  }

  record (seq: number): EventRecord | undefined {
    const text = this.#tables.records.get(seq)
    return text === undefined ? undefined : parseRecord(text)
  }

  /** Oldest event of the portal that waits. */
  first (lane: number, portal: string): number | undefined {
    return this.#heads.first(lane, portal)
  }

  /** Puts an event into the line. */
  enqueue (seq: number, { lane, portal }: EventKeys): void {
    this.#tables.waiting.put([lane, portal, seq], '')
    this.#heads.add(lane, portal, seq)
    this.#announce(lane, portal)
  }

  /** Puts an event that has a record into the line. */
  line (seq: number): void {
    this.enqueue(seq, keysOf(this.record(seq)?.event))
  }

  /** Takes an event out of the line. */
  leave (lane: number, portal: string, seq: number): void {
    this.#tables.waiting.remove([lane, portal, seq])
    this.#heads.remove(lane, portal, seq)
  }

  /** Sets aside until `unpark`. */
  park (item: string, seq: number): void {
    this.#tables.parked.put([item, seq], '')
  }

  get hasParked (): boolean {
    return firstKey(this.#tables.parked) !== undefined
  }

  /** Puts the oldest event of the item that is set aside back into the line. */
  unpark (item: string): void {
    const key = firstKey(this.#tables.parked, [item, 0])
    if (key?.[0] !== item) return
    this.#tables.parked.remove(key)
    this.line(key[1])
  }

  /** From now on it takes in no repeats, and is found by the next worker if this one dies. */
  begin (seq: number, { repeat }: EventKeys): void {
    this.#tables.running.put(seq, '')
    if (repeat !== undefined) this.#tables.repeats.remove(repeat)
  }

  save (seq: number, record: EventRecord): void {
    this.#tables.records.put(seq, recordText(JSON.stringify(record.event), record))
  }

  finish (seq: number): void {
    this.#tables.running.remove(seq)
    this.#tables.records.remove(seq)
  }

  /** Puts an event that was begun back into the line. */
  giveBack (seq: number, { until, ...record }: EventRecord): void {
    this.#back(seq, record)
    this.line(seq)
  }

  /** Puts an event that was begun back, for `delayMs` from now. */
  hold (seq: number, { until, ...record }: EventRecord, delayMs: number): void {
    this.#back(seq, record)
    this.#holdUntil(seq, this.#clock() + delayMs, delayMs)
  }

  /** Puts an event that failed back, for `delayMs` from now; at once if it has changed again meanwhile. */
  retry (seq: number, record: EventRecord, delayMs: number): void {
    const until = this.#clock() + delayMs
    const hasChanged = this.#back(seq, { ...record, until })
    if (hasChanged) this.line(seq)
    else this.#holdUntil(seq, until, delayMs)
  }

  /** Puts an event into the line that is still held back because it failed. */
  hasten (seq: number, until: number): void {
    const { held } = this.#tables
    if (held.get([until, seq]) === undefined) return
    held.remove([until, seq])
    this.line(seq)
  }

  /** Puts up to `most` events into the line whose time has come. */
  release (most: number): void {
    const { held } = this.#tables
    for (const key of [...held.getKeys({ end: [this.#clock(), END], limit: most })]) {
      held.remove(key)
      this.line(key[1])
    }
  }

  /** When the next event is to be released, by the clock. */
  get due (): number {
    return firstKey(this.#tables.held)?.[0] ?? Infinity
  }

  /** Portals of a lane that have something in the line. */
  * portals (lane: number): Generator<string> {
    let key = firstKey(this.#tables.waiting, [lane, '', 0], [lane, '\uffff', 0])
    while (key !== undefined) {
      yield key[1]
      key = firstKey(this.#tables.waiting, [lane, key[1], END], [lane, '\uffff', 0])
    }
  }

  /** Forgets what it knows of the lines: the last change was not stored, or another worker has them. */
  forget (): void {
    this.#heads.clear()
  }

  /** Puts in order what another worker left. Returns what it had begun. */
  recover (): number[] {
    this.#rewind()
    let key = firstKey(this.#tables.parked)
    while (key !== undefined) {
      const [item] = key
      this.unpark(item)
      key = firstKey(this.#tables.parked, [item, END])
    }
    return [...this.#tables.running.getKeys()]
  }

  /** With a clock that was put back, nothing may wait for longer than it was to. */
  #rewind (): void {
    const { held, meta } = this.#tables
    const now = this.#clock()
    if (now >= Number(meta.get('clock') ?? 0)) return
    for (const { key, value } of [...held.getRange({ start: [now, 0] })]) {
      const [until, seq] = key
      const sooner = Math.min(until, now + Number(value))
      held.remove(key)
      held.put([sooner, seq], value)
      const record = this.record(seq)
      if (record?.until === until) this.save(seq, { ...record, until: sooner })
    }
    meta.put('clock', String(now))
  }

  #holdUntil (seq: number, until: number, delayMs: number): void {
    this.#tables.held.put([until, seq], String(delayMs))
    this.#tables.meta.put('clock', String(until - delayMs))
  }

  /**
   * Makes an event that was begun one that waits, and one of it and of a repeat that came meanwhile. Returns whether one came.
   */
  #back (seq: number, record: EventRecord): boolean {
    const keys = keysOf(record.event)
    this.#tables.running.remove(seq)
    const repeat = this.#takeRepeat(keys)
    this.save(seq, repeat === undefined ? record : { event: repeat.event, ...anew(record), coalesced: record.coalesced + repeat.coalesced })
    if (keys.repeat !== undefined) this.#tables.repeats.put(keys.repeat, String(seq))
    return repeat !== undefined
  }

  #takeRepeat (keys: EventKeys): EventRecord | undefined {
    if (keys.repeat === undefined) return undefined
    const { repeats, records, parked } = this.#tables
    const seq = Number(repeats.get(keys.repeat) ?? 0)
    const record = this.record(seq)
    if (record === undefined) return undefined
    records.remove(seq)
    parked.remove([String(keys.item), seq])
    this.leave(keys.lane, keys.portal, seq)
    return record
  }
}
