import { FST_B24_INSTALL_LOST, FST_B24_STORE_UNAVAILABLE } from '../../errors.ts'
import type { InstallStore, StoredInstall } from '../../installs/store.ts'
import { applyFact, type InstallFact } from '../../installs/transitions.ts'
import type { Portal, Portals } from '../../portal/portal.ts'
import { announcementOf } from './announcement-of.ts'
import { readLifecycleData } from './lifecycle-data.ts'
import type { LifecycleProof } from './lifecycle-proof.ts'
import type { Post } from '../post.ts'
import { rejected, type Announcement, type Rejection } from '../receipt.ts'

/** How far a lifecycle event got; plain JSON, kept with the event so that an attempt goes on where the last one ended. */
export interface LifecycleProgress {
  /** A refresh was asked for; if its answer got lost, so did the pair. */
  refreshed?: true
  /** What was proved. A pair that had to be refreshed stands nowhere else. */
  facts?: InstallFact[]
  /** What is to be told of each fact, kept before it is applied: afterwards it is no news any more. */
  announcements?: Array<Announcement | null>
  /** How many of the facts are applied: an old one must not be applied again to what has changed since. */
  applied?: number
}

/** Keeps the progress durably before it resolves. */
export type SaveProgress = (progress: LifecycleProgress) => Promise<void>

export type Settled =
  | { status: 'accepted', portal: Portal, announcements: readonly Announcement[] }
  | { status: 'stale', portal: Portal }
  | Rejection

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
   * @throws FST_B24_STORE_UNAVAILABLE, FST_B24_OAUTH_UNAVAILABLE, FST_B24_INSTALL_BUSY
   * @throws FST_B24_INSTALL_LOST when an earlier attempt may have used up the pair that would prove it
   */
  async settle (post: Post, stored: StoredInstall | undefined, progress: LifecycleProgress = {}, save: SaveProgress = async () => {}): Promise<Settled> {
    const facts = progress.facts ?? post.facts ?? await this.#prove(post, stored, progress.refreshed === true, save)
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

  async #prove (post: Post, stored: StoredInstall | undefined, wasRefreshed: boolean, save: SaveProgress): Promise<InstallFact[] | Rejection> {
    const proof = await this.#proof.prove(post, stored, async () => await save({ refreshed: true }))
    if (proof.status === 'rejected' && proof.reason === 'token_refused' && wasRefreshed) {
      throw new FST_B24_INSTALL_LOST('the answer to a refresh was lost, and with it the token pair; the portal has to install the app again')
    }
    if (proof.status === 'rejected') return proof
    await save({ facts: proof.facts })
    return proof.facts
  }

  /** Applies the next fact, and writes into `known` what is to be told of it. */
  async #apply (fact: InstallFact, { envelope }: Post, known: Required<Omit<LifecycleProgress, 'refreshed'>>, save: SaveProgress): Promise<Applied> {
    const index = known.applied
    const saved = known.announcements[index] ?? null
    for (let swaps = 0; swaps < MOST_SWAPS; swaps++) {
      const stored = await this.#store.get(envelope.auth.member_id)
      const { outcome, install } = applyFact(stored?.install, fact, Date.now())
      if (install === undefined) return rejected('unknown_portal')
      const portal = this.#portals.of(install)
      const isNew = install !== stored?.install
      // Uninstalled since: what an earlier attempt meant to tell, or to apply, is over.
      if (outcome === 'stale' && install.state === 'uninstalled') return { status: 'stale', portal }
      // What an earlier attempt applied without saying so looks old or repeated now, and is still to be told.
      if (!isNew && saved === null && outcome !== 'repeated') return outcome === 'stale' ? { status: 'stale', portal } : rejected('uninstalled')
      known.announcements[index] = announcementOf(outcome, install, stored?.install, readLifecycleData(envelope)) ?? saved
      if (isNew) {
        await save(known)
        if (!await this.#store.swap(install.memberId, stored?.version ?? 0, install)) continue
      }
      known.applied++
      await save(known)
      return { status: 'accepted', portal }
    }
    throw new FST_B24_STORE_UNAVAILABLE({ cause: new Error(`${MOST_SWAPS} writes in a row came too late`) })
  }
}
