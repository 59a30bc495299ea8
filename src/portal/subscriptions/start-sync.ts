import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import limitConcurrency from 'p-limit'
import { settlesWithin } from '../../async/with-timeout.ts'
import { definitionOf } from '../../events/definitions.ts'
import type { Install } from '../../installs/install.ts'
import { holdLock } from '../with-lock.ts'
import type { InstallStore } from '../../storage/install-store.ts'
import type { Lock, Locks } from '../../storage/locks.ts'
import { scanInstalls } from '../../storage/update-install.ts'

export interface StartSyncParts {
  store: Pick<InstallStore, 'scan'>
  locks: Locks
  log: Pick<FastifyBaseLogger, 'info' | 'warn' | 'debug'>
  /** Returns whether a portal is subscribed to what the code listens to; `undefined` where nothing is subscribed. */
  isInSync: ((install: Install) => boolean) | undefined
  /** Subscribes a portal; rejects where another attempt may help. */
  subscribe: ((fact: { portal: { memberId: string } }) => Promise<void>) | undefined
  facts: () => Omit<StartFacts, 'portals' | 'hasPublicUrl'>
  times?: Partial<StartSyncTimes> | undefined
}

export interface StartSyncTimes {
  lockMs: number
  /** Until another process is looked at again that holds the lock, ms. */
  lookMs: number
  /** Waits before portals are tried again that gave no answer, ms. */
  retriesMs: readonly number[]
}

const TIMES: StartSyncTimes = { lockMs: 30_000, lookMs: 2_000, retriesMs: [60_000, 600_000, 3_600_000] }
const CONCURRENCY = 4
const MAX_EXAMPLES = 5

/** What is done about subscriptions when a process starts, behind its back: one line in the log, and a sync where that is asked for. */
export class StartSync {
  readonly #parts: StartSyncParts
  readonly #times: StartSyncTimes
  readonly #closing = new AbortController()
  #underWay: Promise<void> = Promise.resolve()

  constructor (parts: StartSyncParts) {
    this.#parts = parts
    this.#times = { ...TIMES, ...parts.times }
  }

  /** To be called when every handler is there. */
  start (): void {
    this.#underWay = this.#run().catch((error: unknown) => {
      if (!this.#closing.signal.aborted) this.#parts.log.warn({ err: error }, 'failed to subscribe portals at startup')
    })
  }

  async close (withinMs = 2_000): Promise<void> {
    this.#closing.abort()
    await settlesWithin(this.#underWay, withinMs)
  }

  async #run (): Promise<void> {
    const { log, isInSync, facts } = this.#parts
    const known = facts()
    const portals = isInSync === undefined || !known.isWorker ? undefined : await this.#count(isInSync).catch(() => undefined)
    if (this.#closing.signal.aborted) return
    const { details, message, isWarning } = startupMessage({ ...known, hasPublicUrl: isInSync !== undefined, portals })
    log[isWarning ? 'warn' : 'info'](details, message)
    if (portals !== undefined && portals.outOfSync > 0) log.debug({ portals: portals.examples, outOfSync: portals.outOfSync }, 'portals that lack a subscription')
    if (known.syncsNow && known.isWorker && isInSync !== undefined) await this.#syncAll(isInSync)
  }

  async #count (isInSync: (install: Install) => boolean): Promise<FleetCount> {
    const count: FleetCount = { active: 0, outOfSync: 0, refusing: 0, examples: [] }
    for await (const installs of this.#active()) {
      const outOfSync = installs.filter(install => !isInSync(install))
      count.active += installs.length
      count.outOfSync += outOfSync.length
      count.refusing += installs.filter(({ subscribed }) => subscribed?.refused !== undefined).length
      count.examples.push(...outOfSync.slice(0, MAX_EXAMPLES - count.examples.length).map(({ domain }) => domain))
    }
    return count
  }

  async #syncAll (isInSync: (install: Install) => boolean): Promise<void> {
    for (const waitMs of [0, ...this.#times.retriesMs]) {
      await this.#wait(waitMs)
      const lock = await this.#lock()
      if (lock === undefined) return
      const failed = await holdLock(lock, this.#times.lockMs, async () => await this.#syncOnce(isInSync))
      if (failed === 0 || this.#closing.signal.aborted) return
    }
  }

  /** @returns how many portals are to be tried again */
  async #syncOnce (isInSync: (install: Install) => boolean): Promise<number> {
    const { subscribe, log } = this.#parts
    const limit = limitConcurrency(CONCURRENCY)
    let [tried, failed] = [0, 0]
    for await (const installs of this.#active()) {
      await limit.map(installs.filter(install => !isInSync(install)), async ({ memberId }) => {
        if (this.#closing.signal.aborted) return
        tried++
        await subscribe?.({ portal: { memberId } }).catch(() => { failed++ })
      })
    }
    if (tried > 0) log.info({ portals: tried, failed }, 'portals subscribed at startup')
    return failed
  }

  /** Page by page. */
  async * #active (): AsyncGenerator<Install[], void, undefined> {
    for await (const installs of scanInstalls(this.#parts.store)) {
      if (this.#closing.signal.aborted) return
      yield installs.filter(({ state }) => state === 'active')
    }
  }

  /** Another process that syncs may be of an older version: what it leaves is done after it. */
  async #lock (): Promise<Lock | undefined> {
    while (!this.#closing.signal.aborted) {
      const lock = await this.#parts.locks.take('subscriptions-start', this.#times.lockMs)
      if (lock !== undefined) return lock
      await this.#wait(this.#times.lookMs)
    }
    return undefined
  }

  async #wait (ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#closing.signal, ref: false }).catch(() => {})
  }
}

/** What a process is and does, as it starts. */
export interface StartFacts {
  routes: { events: string, install: string }
  /** As `storageOf()` tells it. */
  storage: string
  /** Codes that handlers name. */
  codes: readonly string[]
  isWorker: boolean
  hasPublicUrl: boolean
  /** Portals that are out of sync are subscribed now. */
  syncsNow: boolean
  /** `undefined` where nothing is to be counted, or the store does not answer. */
  portals: FleetCount | undefined
}

export interface FleetCount {
  active: number
  /** Active portals that are subscribed to something else than the code listens to, or to nothing, as far as is known. */
  outOfSync: number
  /** Active portals that refused some of it. */
  refusing: number
  /** Domains of the first that are out of sync. */
  examples: string[]
}

const MAX_NAMES = 10

/** The line that the log has of a start. */
export function startupMessage ({ routes, storage, codes, isWorker, hasPublicUrl, syncsNow, portals }: StartFacts): { details: object, message: string, isWarning: boolean } {
  const names = codes.map(code => definitionOf(code)?.name ?? code)
  const listed = names.length === 0 ? 'no events' : names.length <= MAX_NAMES ? names.join(', ') : `${names.slice(0, MAX_NAMES).join(', ')} and ${names.length - MAX_NAMES} more`
  const parts = [
    `events: POST ${routes.events}, installs: POST ${routes.install}`,
    `storage: ${storage}`,
    isWorker ? `handlers listen to ${listed}` : 'this process only receives, handlers run in others'
  ]
  if (isWorker && !hasPublicUrl) parts.push('publicUrl is not set, so that nothing is subscribed: set it, or bind events with event.bind')
  if (portals !== undefined) parts.push(...tellPortals(portals, syncsNow))
  const counts = portals === undefined ? {} : { activePortals: portals.active, outOfSync: portals.outOfSync, refusing: portals.refusing }
  return { details: { routes, storage, events: names, ...counts }, message: parts.join('; '), isWarning: portals !== undefined && portals.outOfSync > 0 && !syncsNow }
}

function tellPortals ({ active, outOfSync, refusing }: FleetCount, syncsNow: boolean): string[] {
  const remedy = syncsNow ? 'they are subscribed now' : "set subscriptions.sync to 'start', or call syncSubscriptions()"
  const first = active === 0
    ? 'no portal has installed the app yet'
    : outOfSync === 0 ? `subscribed portals: all ${active}` : `${outOfSync} of ${active} portals lack a subscription to some of it: ${remedy}`
  return refusing === 0 ? [first] : [first, `${refusing} portals refused some of it: compare the permissions of the app`]
}
