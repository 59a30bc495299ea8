import type { EmbeddedTables } from './embedded-tables.ts'

/** Events of one line that are read at once. */
const MOST_READ = 16

/** The next few events of each line, so that not every single one has to be looked for. For the one worker that changes the lines. */
export class LineHeads {
  readonly #waiting: EmbeddedTables['waiting']
  /** None is empty. */
  readonly #heads = new Map<string, number[]>()

  constructor ({ waiting }: EmbeddedTables) {
    this.#waiting = waiting
  }

  /** Oldest event of the line. */
  first (lane: number, portal: string): number | undefined {
    return (this.#heads.get(nameOf(lane, portal)) ?? this.#read(lane, portal))[0]
  }

  /** Notes that an event was put in line. */
  add (lane: number, portal: string, seq: number): void {
    const name = nameOf(lane, portal)
    const last = this.#heads.get(name)?.at(-1) ?? Infinity
    if (seq < last) this.#heads.delete(name)
  }

  /** Notes that an event has left the line. */
  remove (lane: number, portal: string, seq: number): void {
    const name = nameOf(lane, portal)
    const head = this.#heads.get(name)
    if (head !== undefined && head.length > 1 && head[0] === seq) head.shift()
    else this.#heads.delete(name)
  }

  /** Forgets what may be otherwise on disk. */
  clear (): void {
    this.#heads.clear()
  }

  #read (lane: number, portal: string): number[] {
    const keys = [...this.#waiting.getKeys({ start: [lane, portal, 0], end: [lane, portal, Number.MAX_SAFE_INTEGER], limit: MOST_READ })]
    const head = keys.map(([, , seq]) => seq)
    if (head.length > 0) this.#heads.set(nameOf(lane, portal), head)
    return head
  }
}

function nameOf (lane: number, portal: string): string {
  return `${lane} ${portal}`
}
