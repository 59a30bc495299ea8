import { FST_B24_INSTALL_LOST, FST_B24_STORE_UNAVAILABLE } from '../../errors.ts'
import type { Install } from '../../installs/install.ts'
import { storePair } from '../../installs/token-pairs.ts'
import type { InstallStore, StoredInstall } from '../../storage/install-store.ts'
import { applyFact, type FactOutcome, type InstallFact, type VerifiedInstall } from '../../installs/install-transitions.ts'
import type { Portal, Portals } from '../../portal/portal.ts'
import { readLifecycleData, type LifecycleData, type InstallVerifier, type PairLocation } from './install-verifier.ts'
import type { InboundEvent } from '../inbound-event.ts'
import type { HookCall } from '../lifecycle-hooks.ts'
import { rejected, type Rejection } from '../receipt.ts'

/** How far a lifecycle event got; plain JSON, kept with the event so that an attempt goes on where the last one ended. */
export interface LifecycleProgress {
  /** A refresh was asked for; if its answer got lost, so did the pair. */
  refreshed?: true | undefined
  /** What posted pairs were traded for, encrypted; they stand nowhere else until the facts are kept. */
  traded?: Partial<Record<PairLocation, string>>
  /** What was proved. */
  facts?: InstallFact[]
  /** What is to be told of each fact, kept before it is applied: afterwards it is no news any more. */
  hookCalls?: Array<HookCall | null>
  /** How many of the facts are applied: an old one must not be applied again to what has changed since. */
  applied?: number
}

/** Keeps the progress durably before it resolves. */
export type SaveProgress = (progress: LifecycleProgress) => Promise<void>

interface Stale {
  status: 'stale'
  portal: Portal
}

export type LifecycleOutcome = { status: 'accepted', portal: Portal, hookCalls: readonly HookCall[] } | Stale | Rejection

type Applied = Exclude<LifecycleOutcome, { status: 'accepted' }> | { status: 'accepted', portal: Portal }

/** Losing a race means that another writer won, so few rounds are needed; a store that takes no write must not hold a request for ever. */
const MOST_SWAPS = 50

/**
 * Applies lifecycle events to the installs of their portals.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/tree/main/api-reference/common/events
 */
export class Lifecycle {
  readonly #store: InstallStore
  readonly #verifier: InstallVerifier
  readonly #portals: Portals

  constructor (store: InstallStore, verifier: InstallVerifier, portals: Portals) {
    this.#portals = portals
    this.#store = store
    this.#verifier = verifier
  }

  /**
   * Proves what the event says, and applies it.
   *
   * @throws FST_B24_STORE_UNAVAILABLE, FST_B24_OAUTH_UNAVAILABLE, FST_B24_APP_KEYS, FST_B24_INSTALL_BUSY
   * @throws FST_B24_PORTAL_UNAVAILABLE and the like when the portal does not say who its user is
   * @throws FST_B24_INSTALL_LOST when an earlier attempt may have used up the pair that would prove it
   */
  async apply (inbound: InboundEvent, stored: StoredInstall | undefined, progress: LifecycleProgress = {}, save: SaveProgress = async () => {}): Promise<LifecycleOutcome> {
    const facts = progress.facts ?? inbound.facts ?? await this.#verify(inbound, stored, progress, save)
    if (!Array.isArray(facts)) return facts
    const { hookCalls = [], applied = 0 } = progress
    const known = { facts, hookCalls: [...hookCalls], applied }
    let portal = stored === undefined ? undefined : this.#portals.of(stored.install)
    for (const fact of facts.slice(applied)) {
      const outcome = await this.#applyFact(fact, inbound, known, save)
      if (outcome.status !== 'accepted') return outcome
      portal = outcome.portal
    }
    if (portal === undefined) return rejected('unknown_portal')
    return { status: 'accepted', portal, hookCalls: known.hookCalls.filter(each => each !== null) }
  }

  async #verify (inbound: InboundEvent, stored: StoredInstall | undefined, { refreshed, traded }: LifecycleProgress, save: SaveProgress): Promise<InstallFact[] | Rejection | Stale> {
    let kept = { ...traded }
    const verification = await this.#verifier.verify(inbound, stored, place => ({
      pair: kept[place],
      before: async () => await save({ refreshed: true }),
      after: async (pair) => {
        kept = { ...kept, [place]: pair }
        await save({ refreshed: undefined, traded: kept })
      }
    }))
    if (verification.status === 'stale') return { status: 'stale', portal: this.#portals.of(stored!.install) }
    if (verification.status === 'rejected' && verification.reason === 'token_refused' && refreshed === true) {
      throw new FST_B24_INSTALL_LOST('the answer to a refresh was lost, and with it the token pair; the portal has to install the app again')
    }
    if (verification.status === 'rejected') return verification
    await save({ facts: verification.facts })
    return verification.facts
  }

  /** Applies the next fact, and writes into `known` what is to be told of it. */
  async #applyFact (fact: InstallFact, inbound: InboundEvent, known: Required<Omit<LifecycleProgress, 'refreshed' | 'traded'>>, save: SaveProgress): Promise<Applied> {
    const { envelope } = inbound
    const index = known.applied
    const saved = known.hookCalls[index] ?? null
    for (let swaps = 0; swaps < MOST_SWAPS; swaps++) {
      const stored = await this.#store.get(envelope.auth.member_id)
      const { outcome, install } = applyFact(this.#withTraded(stored?.install, fact, inbound), fact, Date.now())
      if (install === undefined) return rejected('unknown_portal')
      const portal = this.#portals.of(install)
      const isNew = install !== stored?.install
      // Uninstalled since: what an earlier attempt meant to tell, or to apply, is over.
      if (outcome === 'stale' && install.state === 'uninstalled') return { status: 'stale', portal }
      known.hookCalls[index] = hookCallOf(outcome, install, stored?.install, readLifecycleData(envelope)) ?? saved
      if (isNew) {
        await save(known)
        if (!await this.#store.swap(install.memberId, stored?.version ?? 0, install)) continue
      }
      // What an earlier attempt applied without saying so looks old or repeated now, and is still to be told.
      if (saved === null && isNothingNew(outcome, fact)) return { status: 'stale', portal }
      if (!isNew && saved === null && outcome !== 'repeated') return rejected('uninstalled')
      known.applied++
      await save(known)
      return { status: 'accepted', portal }
    }
    throw new FST_B24_STORE_UNAVAILABLE({ cause: new Error(`${MOST_SWAPS} writes in a row came too late`) })
  }

  /** The record with the pair that its own was traded for meanwhile, whatever else comes of the fact: the one before is dead. */
  #withTraded (install: Install | undefined, fact: InstallFact, inbound: InboundEvent): Install | undefined {
    const { isRefreshed, pair } = fact.type === 'updated' ? fact.verified ?? {} : fact.type === 'uninstalled' ? {} as Partial<VerifiedInstall> : fact
    if (install === undefined || pair === undefined || isRefreshed !== true) return install
    const owner = this.#verifier.ownerOf(install, inbound, fact.type === 'userReady' ? 'data' : 'auth')
    return owner === undefined ? install : storePair(install, owner, pair, Date.now())
  }
}

/** An uninstall is handled once, however often it is posted: it needs no more than a token that never changes. */
function isNothingNew (outcome: FactOutcome, { type }: InstallFact): boolean {
  return outcome === 'stale' || (outcome === 'repeated' && type === 'uninstalled')
}

/** Which lifecycle hook is to hear of an outcome, and what; `undefined` where nothing changed. */
export function hookCallOf (outcome: FactOutcome, install: Install, known: Install | undefined, data: LifecycleData): HookCall | undefined {
  switch (outcome) {
    case 'installed': return { hook: 'onInstall', fact: { reinstall: false } }
    case 'reinstalled': return { hook: 'onInstall', fact: { reinstall: true } }
    case 'updated': return { hook: 'onUpdate', fact: { version: install.version, previousVersion: known?.version ?? data.previousVersion } }
    case 'user-ready': return { hook: 'onUserReady', fact: { userId: install.systemUser?.userId } }
    case 'uninstalled': return { hook: 'onUninstall', fact: { clean: data.clean } }
    default: return undefined
  }
}
