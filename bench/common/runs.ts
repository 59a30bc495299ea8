import { now } from './parent.ts'

/** What the handlers of a program did; times in ms since the epoch. */
export interface RunReport {
  count: number
  /** Deliveries that the runs stood for. */
  deliveries: number
  firstAt: number
  /** Begin of the last. */
  lastAt: number
  /** Begin of the first run of each portal. */
  firstOf: Record<string, number>
}

/** Counts runs of handlers. */
export class Runs {
  readonly #report: RunReport = { count: 0, deliveries: 0, firstAt: 0, lastAt: 0, firstOf: {} }

  add (memberId: string, deliveries: number): void {
    const report = this.#report
    report.lastAt = now()
    if (report.count === 0) report.firstAt = report.lastAt
    report.firstOf[memberId] ??= report.lastAt
    report.count++
    report.deliveries += deliveries
  }

  report (): RunReport {
    return this.#report
  }
}
