import { FST_B24_INSTALL_LOST, FST_B24_STORE_UNAVAILABLE } from '../../errors.ts'
import type { Install } from '../../installs/install.ts'
import { storePair } from '../../installs/token-pairs.ts'
import type { InstallStore, StoredInstall } from '../../storage/install-store.ts'
import { applyFact, type FactOutcome, type InstallFact, type VerifiedInstall } from '../../installs/install-transitions.ts'
import type { Portal, Portals } from '../../portal/portal.ts'
import { readLifecycleData, type LifecycleData, type InstallVerifier, type PairLocation } from './install-verifier.ts'
import type { InboundEvent } from '../inbound-event.ts'
import type { HookCall } from '../lifecycle-hooks.ts'
import { rejected, type Rejection } from '../receive-outcome.ts'

/** Progress of a lifecycle event: plain JSON, stored with the event so that the next attempt resumes. */
export interface LifecycleProgress {
  /** A refresh was requested. If its response was lost, the pair is lost too. */
  refreshPending?: true | undefined
  /** Pairs got by refreshing those of the event, encrypted. Stored nowhere else until `facts` is. */
  refreshedPairs?: Partial<Record<PairLocation, string>>
  /** The verified facts. */
  facts?: InstallFact[]
  /** Hooks to run for each fact. Saved before the fact is applied, because afterwards it no longer looks like a change. */
  hookCalls?: Array<HookCall | null>
  /** Number of applied facts. A fact must not be applied again to an install that has changed since. */
  applied?: number
}

/** Stores the progress durably before it resolves. */
export type SaveProgress = (progress: LifecycleProgress) => Promise<void>

interface Stale {
  status: 'stale'
  portal: Portal
}

export type LifecycleOutcome = { status: 'accepted', portal: Portal, hookCalls: readonly HookCall[] } | Stale | Rejection

type FactResult = Exclude<LifecycleOutcome, { status: 'accepted' }> | { status: 'accepted', portal: Portal }

/** A lost race means that another writer won, so few rounds are needed. Bounds the time if a store rejects every write. */
const MAX_SWAPS = 50

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
   * Verifies an event and applies it. Hooks are returned, not run.
   *
   * @throws FST_B24_STORE_UNAVAILABLE, FST_B24_OAUTH_UNAVAILABLE, FST_B24_APP_KEYS, FST_B24_INSTALL_BUSY
   * @throws FST_B24_PORTAL_UNAVAILABLE and other errors of calls if the portal does not return the token's user
   * @throws FST_B24_INSTALL_LOST if an earlier attempt may have invalidated the pair by refreshing it
   */
  async apply (inbound: InboundEvent, stored: StoredInstall | undefined, progress: LifecycleProgress = {}, save: SaveProgress = async () => {}): Promise<LifecycleOutcome> {
    const facts = progress.facts ?? inbound.facts ?? await this.#verify(inbound, stored, progress, save)
    if (!Array.isArray(facts)) return facts
    const { hookCalls = [], applied = 0 } = progress
    const state = { facts, hookCalls: [...hookCalls], applied }
    let portal = stored === undefined ? undefined : this.#portals.of(stored.install)
    for (const fact of facts.slice(applied)) {
      const outcome = await this.#applyFact(fact, inbound, state, save)
      if (outcome.status !== 'accepted') return outcome
      portal = outcome.portal
    }
    if (portal === undefined) return rejected('unknown_portal')
    return { status: 'accepted', portal, hookCalls: state.hookCalls.filter(each => each !== null) }
  }

  async #verify (inbound: InboundEvent, stored: StoredInstall | undefined, { refreshPending, refreshedPairs }: LifecycleProgress, save: SaveProgress): Promise<InstallFact[] | Rejection | Stale> {
    let pairs = { ...refreshedPairs }
    const verification = await this.#verifier.verify(inbound, stored, location => ({
      pair: pairs[location],
      before: async () => await save({ refreshPending: true }),
      after: async (pair) => {
        pairs = { ...pairs, [location]: pair }
        await save({ refreshPending: undefined, refreshedPairs: pairs })
      }
    }))
    if (verification.status === 'stale') return { status: 'stale', portal: this.#portals.of(stored!.install) }
    if (verification.status === 'rejected' && verification.reason === 'token_refused' && refreshPending === true) {
      throw new FST_B24_INSTALL_LOST('the response to a refresh was lost, so its token pair is unknown; the portal must reinstall the app')
    }
    if (verification.status === 'rejected') return verification
    await save({ facts: verification.facts })
    return verification.facts
  }

  /** Applies the next fact, and adds its hook to `state`. */
  async #applyFact (fact: InstallFact, inbound: InboundEvent, state: Required<Omit<LifecycleProgress, 'refreshPending' | 'refreshedPairs'>>, save: SaveProgress): Promise<FactResult> {
    const { envelope } = inbound
    const index = state.applied
    const saved = state.hookCalls[index] ?? null
    for (let swaps = 0; swaps < MAX_SWAPS; swaps++) {
      const stored = await this.#store.get(envelope.auth.member_id)
      const { outcome, install } = applyFact(this.#withRefreshedPair(stored?.install, fact, inbound), fact, Date.now())
      if (install === undefined) return rejected('unknown_portal')
      const portal = this.#portals.of(install)
      const isNew = install !== stored?.install
      // Uninstalled since: hooks and facts of an earlier attempt are obsolete.
      if (outcome === 'stale' && install.state === 'uninstalled') return { status: 'stale', portal }
      state.hookCalls[index] = hookCallOf(outcome, install, stored?.install, readLifecycleData(envelope)) ?? saved
      if (isNew) {
        await save(state)
        if (!await this.#store.swap(install.memberId, stored?.version ?? 0, install)) continue
      }
      // A fact that an earlier attempt applied without saving it looks stale or repeated now, but its hook must still run.
      if (saved === null && isUnchanged(outcome, fact)) return { status: 'stale', portal }
      if (!isNew && saved === null && outcome !== 'repeated') return rejected('uninstalled')
      state.applied++
      await save(state)
      return { status: 'accepted', portal }
    }
    throw new FST_B24_STORE_UNAVAILABLE({ cause: new Error(`${MAX_SWAPS} consecutive writes lost the race against other writers`) })
  }

  /** Returns the install with the refreshed pair if the event contained a stored pair: the refresh has invalidated that one, even if the fact is stale. */
  #withRefreshedPair (install: Install | undefined, fact: InstallFact, inbound: InboundEvent): Install | undefined {
    const { isRefreshed, pair } = fact.type === 'updated' ? fact.verified ?? {} : fact.type === 'uninstalled' ? {} as Partial<VerifiedInstall> : fact
    if (install === undefined || pair === undefined || isRefreshed !== true) return install
    const owner = this.#verifier.ownerOf(install, inbound, fact.type === 'userReady' ? 'data' : 'auth')
    return owner === undefined ? install : storePair(install, owner, pair, Date.now())
  }
}

/** A repeated uninstall is stale: its token never changes, so it could be replayed. */
function isUnchanged (outcome: FactOutcome, { type }: InstallFact): boolean {
  return outcome === 'stale' || (outcome === 'repeated' && type === 'uninstalled')
}

/** Returns the lifecycle hook for an outcome with its argument; `undefined` if nothing changed. */
function hookCallOf (outcome: FactOutcome, install: Install, known: Install | undefined, data: LifecycleData): HookCall | undefined {
  switch (outcome) {
    case 'installed': return { hook: 'onInstall', fact: { reinstall: false } }
    case 'reinstalled': return { hook: 'onInstall', fact: { reinstall: true } }
    case 'updated': return { hook: 'onUpdate', fact: { version: install.version, previousVersion: known?.version ?? data.previousVersion } }
    case 'user-ready': return { hook: 'onUserReady', fact: { userId: install.systemUser?.userId } }
    case 'uninstalled': return { hook: 'onUninstall', fact: { clean: data.clean } }
    default: return undefined
  }
}
