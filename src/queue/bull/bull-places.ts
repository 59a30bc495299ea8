import { setTimeout as sleep } from 'node:timers/promises'
import { PortalShares } from '../portal-shares.ts'

/** Longest that a job waits for a place of its portal before it is set aside, ms: most handlers end sooner. */
const REST_MS = 200
/** Time that a job which was called back has to come, ms; another worker may have fetched it. */
const COMING_MS = 1_000
/** Jobs of a portal that are called back; what is beyond comes back by itself. */
const MOST_ASIDE = 50_000
/** Pause before a job that is seen for the first time is set aside behind others, ms: setting aside ten thousands at once would keep Redis busy. */
const PACE_MS = 10

/** Jobs of a portal that has its share. */
interface Line {
  /** Ids, the one that was set aside first is the first. */
  aside: Set<string>
  /** Called back, each with a place that is kept for it. */
  coming: Map<string, NodeJS.Timeout>
}

/**
 * Gives the places of a worker to the jobs that it has fetched. BullMQ knows of no portals: a job whose portal has its share is set
 * aside, so that the worker sees what is behind it, and called back when the portal has room.
 */
export class BullPlaces {
  readonly #shares: PortalShares
  readonly #call: (jobId: string) => Promise<unknown>
  /** Of portals that have jobs set aside. */
  readonly #lines = new Map<string, Line>()
  /** Jobs that wait a moment. */
  readonly #resting = new Set<() => void>()

  /** `call` brings a job that was set aside back at once; it rejects when the job has come by itself. */
  constructor (places: number, call: (jobId: string) => Promise<unknown>) {
    this.#shares = new PortalShares(places)
    this.#call = call
  }

  /** The portal has an event. */
  see (portal: string): void {
    this.#shares.see(portal)
  }

  /** Takes a place where there is one, and nobody of the portal was set aside. */
  takeNow (portal: string): boolean {
    if (this.#lines.has(portal) || !this.#shares.hasRoom(portal)) return false
    this.#shares.take(portal)
    return true
  }

  /** Resolves with whether the job has a place; where not, it is to be set aside. `isNew`: it never was. */
  async take (portal: string, jobId: string, isNew: boolean): Promise<boolean> {
    if (this.#hasCome(portal, jobId)) return true
    // Who has been set aside before goes first.
    if (isNew && this.#lines.has(portal)) await sleep(PACE_MS)
    const end = performance.now() + REST_MS
    while (!this.#lines.has(portal)) {
      if (this.takeNow(portal)) return true
      const left = end - performance.now()
      if (left <= 0) return false
      await this.#rest(left)
    }
    return false
  }

  /** Notes a job that is set aside by now. */
  setAside (portal: string, jobId: string): void {
    const line = this.#lines.get(portal) ?? { aside: new Set(), coming: new Map() }
    this.#lines.set(portal, line)
    if (line.aside.size < MOST_ASIDE) line.aside.add(jobId)
    this.#callBack(portal, line)
    this.#wake()
  }

  leave (portal: string): void {
    this.#shares.leave(portal)
    for (const [waiting, line] of this.#lines) this.#callBack(waiting, line)
    this.#wake()
  }

  /** Calls back all that was set aside, for other workers. */
  close (): void {
    for (const { aside, coming } of this.#lines.values()) {
      for (const timer of coming.values()) clearTimeout(timer)
      for (const jobId of aside) this.#call(jobId).catch(() => {})
    }
    this.#lines.clear()
  }

  /** Whether the job was called back: its place is kept for it. */
  #hasCome (portal: string, jobId: string): boolean {
    const line = this.#lines.get(portal)
    const timer = line?.coming.get(jobId)
    line?.aside.delete(jobId)
    clearTimeout(timer)
    line?.coming.delete(jobId)
    this.#forgetEmpty(portal, line)
    return timer !== undefined
  }

  #callBack (portal: string, line: Line): void {
    for (const jobId of line.aside) {
      if (!this.#shares.hasRoom(portal)) break
      this.#shares.take(portal)
      line.aside.delete(jobId)
      line.coming.set(jobId, setTimeout(() => this.#giveUp(portal, line, jobId), COMING_MS).unref())
      this.#call(jobId).catch(() => this.#giveUp(portal, line, jobId))
    }
    this.#forgetEmpty(portal, line)
  }

  #giveUp (portal: string, { coming }: Line, jobId: string): void {
    if (!coming.has(jobId)) return
    clearTimeout(coming.get(jobId))
    coming.delete(jobId)
    this.leave(portal)
  }

  #forgetEmpty (portal: string, line: Line | undefined): void {
    if (line?.aside.size === 0 && line.coming.size === 0) this.#lines.delete(portal)
  }

  async #rest (ms: number): Promise<void> {
    await new Promise<void>(resolve => {
      const wake = () => {
        clearTimeout(timer)
        this.#resting.delete(wake)
        resolve()
      }
      const timer = setTimeout(wake, ms)
      this.#resting.add(wake)
    })
  }

  #wake (): void {
    for (const wake of [...this.#resting]) wake()
  }
}
