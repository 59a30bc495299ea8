import { FST_B24_INSTALL_LOST, FST_B24_STORE_UNAVAILABLE } from '../../errors.ts'
import type { Install } from '../../installs/install.ts'
import { storePair } from '../../installs/token-pairs.ts'
import type { InstallStore, StoredInstall } from '../../storage/install-store.ts'
import { applyFact, type FactOutcome, type InstallFact, type VerifiedInstall } from '../../installs/install-transitions.ts'
import type { Portal, Portals } from '../../portal/portal.ts'
import { announcementOf } from './announcement-of.ts'
import { readLifecycleData } from './lifecycle-data.ts'
import type { LifecycleProof, PairPlace } from './lifecycle-proof.ts'
import type { Post } from '../post.ts'
import type { HookCall } from '../handlers/lifecycle-hooks.ts'
import { rejected, type Rejection } from '../receipt.ts'

/** How far a lifecycle event got; plain JSON, kept with the event so that an attempt goes on where the last one ended. */
export interface LifecycleProgress {
  /** A refresh was asked for; if its answer got lost, so did the pair. */
  refreshed?: true | undefined
  /** What posted pairs were traded for, encrypted; they stand nowhere else until the facts are kept. */
  traded?: Partial<Record<PairPlace, string>>
  /** What was proved. */
  facts?: InstallFact[]
  /** What is to be told of each fact, kept before it is applied: afterwards it is no news any more. */
  announcements?: Array<HookCall | null>
  /** How many of the facts are applied: an old one must not be applied again to what has changed since. */
  applied?: number
}

/** Keeps the progress durably before it resolves. */
export type SaveProgress = (progress: LifecycleProgress) => Promise<void>

interface Stale {
  status: 'stale'
  portal: Portal
}

export type Settled = { status: 'accepted', portal: Portal, announcements: readonly HookCall[] } | Stale | Rejection

type Applied = Exclude<Settled, { status: 'accepted' }> | { status: 'accepted', portal: Portal }

/** Losing a race means that another writer won, so few rounds are needed; a store that takes no write must not hold a request for ever. */
const MOST_SWAPS = 50

/**
 * Applies lifecycle events to the installs of their portals.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/tree/main/api-reference/common/events
 */
export class Lifecycle {
  readonly #store: InstallStore
  readonly #proof: LifecycleProof
  readonly #portals: Portals

  constructor (store: InstallStore, proof: LifecycleProof, portals: Portals) {
    this.#portals = portals
    this.#store = store
    this.#proof = proof
  }

  /**
   * Proves what the post says, and applies it.
   *
   * @throws FST_B24_STORE_UNAVAILABLE, FST_B24_OAUTH_UNAVAILABLE, FST_B24_APP_KEYS, FST_B24_INSTALL_BUSY
   * @throws FST_B24_PORTAL_UNAVAILABLE and the like when the portal does not say who its user is
   * @throws FST_B24_INSTALL_LOST when an earlier attempt may have used up the pair that would prove it
   */
  async settle (post: Post, stored: StoredInstall | undefined, progress: LifecycleProgress = {}, save: SaveProgress = async () => {}): Promise<Settled> {
    const facts = progress.facts ?? post.facts ?? await this.#prove(post, stored, progress, save)
    if (!Array.isArray(facts)) return facts
    const { announcements = [], applied = 0 } = progress
    const known = { facts, announcements: [...announcements], applied }
    let portal = stored === undefined ? undefined : this.#portals.of(stored.install)
    for (const fact of facts.slice(applied)) {
      const outcome = await this.#apply(fact, post, known, save)
      if (outcome.status !== 'accepted') return outcome
      portal = outcome.portal
    }
    if (portal === undefined) return rejected('unknown_portal')
    return { status: 'accepted', portal, announcements: known.announcements.filter(each => each !== null) }
  }

  async #prove (post: Post, stored: StoredInstall | undefined, { refreshed, traded }: LifecycleProgress, save: SaveProgress): Promise<InstallFact[] | Rejection | Stale> {
    let kept = { ...traded }
    const proof = await this.#proof.prove(post, stored, place => ({
      pair: kept[place],
      before: async () => await save({ refreshed: true }),
      after: async (pair) => {
        kept = { ...kept, [place]: pair }
        await save({ refreshed: undefined, traded: kept })
      }
    }))
    if (proof.status === 'stale') return { status: 'stale', portal: this.#portals.of(stored!.install) }
    if (proof.status === 'rejected' && proof.reason === 'token_refused' && refreshed === true) {
      throw new FST_B24_INSTALL_LOST('the answer to a refresh was lost, and with it the token pair; the portal has to install the app again')
    }
    if (proof.status === 'rejected') return proof
    await save({ facts: proof.facts })
    return proof.facts
  }

  /** Applies the next fact, and writes into `known` what is to be told of it. */
  async #apply (fact: InstallFact, post: Post, known: Required<Omit<LifecycleProgress, 'refreshed' | 'traded'>>, save: SaveProgress): Promise<Applied> {
    const { envelope } = post
    const index = known.applied
    const saved = known.announcements[index] ?? null
    for (let swaps = 0; swaps < MOST_SWAPS; swaps++) {
      const stored = await this.#store.get(envelope.auth.member_id)
      const { outcome, install } = applyFact(this.#withTraded(stored?.install, fact, post), fact, Date.now())
      if (install === undefined) return rejected('unknown_portal')
      const portal = this.#portals.of(install)
      const isNew = install !== stored?.install
      // Uninstalled since: what an earlier attempt meant to tell, or to apply, is over.
      if (outcome === 'stale' && install.state === 'uninstalled') return { status: 'stale', portal }
      known.announcements[index] = announcementOf(outcome, install, stored?.install, readLifecycleData(envelope)) ?? saved
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
  #withTraded (install: Install | undefined, fact: InstallFact, post: Post): Install | undefined {
    const { isRefreshed, pair } = fact.type === 'updated' ? fact.verified ?? {} : fact.type === 'uninstalled' ? {} as Partial<VerifiedInstall> : fact
    if (install === undefined || pair === undefined || isRefreshed !== true) return install
    const owner = this.#proof.ownerOf(install, post, fact.type === 'userReady' ? 'data' : 'auth')
    return owner === undefined ? install : storePair(install, owner, pair, Date.now())
  }
}

/** An uninstall is handled once, however often it is posted: it needs no more than a token that never changes. */
function isNothingNew (outcome: FactOutcome, { type }: InstallFact): boolean {
  return outcome === 'stale' || (outcome === 'repeated' && type === 'uninstalled')
}
