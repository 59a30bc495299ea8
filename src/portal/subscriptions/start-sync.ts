import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import limitConcurrency from 'p-limit'
import { settlesWithin } from '../../async/with-timeout.ts'
import { definitionOf } from '../../events/definitions.ts'
import type { Install } from '../../installs/install.ts'
import { whileLocked } from '../with-lock.ts'
import { type InstallStore, scanInstalls } from '../../storage/install-store.ts'
import type { Lock, Locks } from '../../storage/storage.ts'

export interface StartSyncParts {
  store: Pick<InstallStore, 'scan'>
  locks: Locks
  log: Pick<FastifyBaseLogger, 'info' | 'warn' | 'debug'>
  /** See `SubscriptionServices`. */
  isInSync: ((install: Install) => boolean) | undefined
  /** Subscribes a portal; rejects on transient errors. */
  subscribe: ((fact: { portal: { memberId: string } }) => Promise<void>) | undefined
  facts: () => Omit<StartFacts, 'portals' | 'hasPublicUrl'>
  times?: Partial<StartSyncTimes> | undefined
}

export interface StartSyncTimes {
  lockMs: number
  /** Interval for retrying a lock held by another process, in milliseconds. */
  lockRetryMs: number
  /** Delays before failed portals are retried, in milliseconds. */
  retriesMs: readonly number[]
}

const TIMES: StartSyncTimes = { lockMs: 30_000, lockRetryMs: 2_000, retriesMs: [60_000, 600_000, 3_600_000] }
const CONCURRENCY = 4
const MAX_EXAMPLES = 5

/** Background work at startup: logs the state of the subscriptions in one line, and syncs portals if configured. */
export class StartSync {
  readonly #parts: StartSyncParts
  readonly #times: StartSyncTimes
  readonly #closing = new AbortController()
  #underWay: Promise<void> = Promise.resolve()

  constructor (parts: StartSyncParts) {
    this.#parts = parts
    this.#times = { ...TIMES, ...parts.times }
  }

  /** Call once all handlers are registered. */
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
    if (portals !== undefined && portals.outOfSync > 0) log.debug({ portals: portals.examples, outOfSync: portals.outOfSync }, 'portals not subscribed to all events')
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
      const failed = await whileLocked(lock, this.#times.lockMs, async () => await this.#syncOnce(isInSync))
      if (failed === 0 || this.#closing.signal.aborted) return
    }
  }

  /** @returns the number of portals to retry */
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

  async * #active (): AsyncGenerator<Install[], void, undefined> {
    for await (const installs of scanInstalls(this.#parts.store)) {
      if (this.#closing.signal.aborted) return
      yield installs.filter(({ state }) => state === 'active')
    }
  }

  /** Waits for other processes: they may run an older version, so this one syncs after them. */
  async #lock (): Promise<Lock | undefined> {
    while (!this.#closing.signal.aborted) {
      const lock = await this.#parts.locks.take('subscriptions-start', this.#times.lockMs)
      if (lock !== undefined) return lock
      await this.#wait(this.#times.lockRetryMs)
    }
    return undefined
  }

  async #wait (ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#closing.signal, ref: false }).catch(() => {})
  }
}

/** Configuration and state to log at startup. */
export interface StartFacts {
  routes: { events: string, install: string }
  /** From `storageOf()`. */
  storage: string
  codes: readonly string[]
  isWorker: boolean
  hasPublicUrl: boolean
  /** Portals out of sync are subscribed at startup. */
  syncsNow: boolean
  /** `undefined` if not applicable, or the store is unavailable. */
  portals: FleetCount | undefined
}

export interface FleetCount {
  active: number
  /** Active portals whose subscriptions do not match the handlers. */
  outOfSync: number
  /** Active portals that refused some events. */
  refusing: number
  /** Domains of the first few out of sync. */
  examples: string[]
}

const MAX_NAMES = 10

/** Builds the log line of a startup. */
export function startupMessage ({ routes, storage, codes, isWorker, hasPublicUrl, syncsNow, portals }: StartFacts): { details: object, message: string, isWarning: boolean } {
  const names = codes.map(code => definitionOf(code)?.name ?? code)
  const listed = names.length === 0 ? 'no events' : names.length <= MAX_NAMES ? names.join(', ') : `${names.slice(0, MAX_NAMES).join(', ')} and ${names.length - MAX_NAMES} more`
  const parts = [
    `events: POST ${routes.events}, installs: POST ${routes.install}`,
    `storage: ${storage}`,
    isWorker ? `handlers listen to ${listed}` : 'this process only receives, handlers run in others'
  ]
  if (isWorker && !hasPublicUrl) parts.push('publicUrl is not set, so no portal is subscribed: set it, or bind events with event.bind')
  if (portals !== undefined) parts.push(...describePortals(portals, syncsNow))
  const counts = portals === undefined ? {} : { activePortals: portals.active, outOfSync: portals.outOfSync, refusing: portals.refusing }
  return { details: { routes, storage, events: names, ...counts }, message: parts.join('; '), isWarning: portals !== undefined && portals.outOfSync > 0 && !syncsNow }
}

function describePortals ({ active, outOfSync, refusing }: FleetCount, syncsNow: boolean): string[] {
  const remedy = syncsNow ? 'subscribing them now' : "set subscriptions.sync to 'start', or call syncSubscriptions()"
  const first = active === 0
    ? 'no portal has installed the app yet'
    : outOfSync === 0 ? `subscribed portals: all ${active}` : `${outOfSync} of ${active} portals are not subscribed to all events: ${remedy}`
  return refusing === 0 ? [first] : [first, `${refusing} portals refused some events: check the permissions of the app`]
}
