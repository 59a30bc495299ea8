import { randomUUID } from 'node:crypto'
import type { FastifyBaseLogger } from 'fastify'
import { FST_B24_INSTALL_BUSY, FST_B24_PORTAL_QUOTA } from '../../errors.ts'
import type { HandlerRegistry } from '../../events/handlers.ts'
import type { PendingInstalls } from '../../storage/pending-installs.ts'
import type { InstallStore, StoredInstall } from '../../storage/install-store.ts'
import type { Encryptor } from '../../oauth/encryption.ts'
import type { EventQueue } from '../../storage/event-queue.ts'
import type { Gate } from './gate.ts'
import type { HandlerContext } from '../handlers/run-handler.ts'
import { wasKnown, type LifecycleProof } from '../lifecycle/lifecycle-proof.ts'
import { pendingInstallOf, type Post } from '../post.ts'
import { orderOf, stow, type Keeping } from '../queued-post.ts'
import type { QuotaReports } from '../quota-reports.ts'
import { type Receipt, rejected } from '../receipt.ts'
import { networksOf } from '../client-ip.ts'
import { sourceOf, type UnverifiedLimiter } from '../unverified-limiter.ts'
import type { Intake } from './receiver.ts'

export interface QueueIntakeParts {
  store: InstallStore
  pendingInstalls: PendingInstalls
  queue: Pick<EventQueue, 'add'>
  limiter: UnverifiedLimiter
  gate: Gate
  proof: LifecycleProof
  encryptor: Encryptor
  handlers: HandlerRegistry<HandlerContext>
  quotas: QuotaReports
  coalesce: boolean
}

/** Largest body, as JSON, that is kept of a sender whom nothing verifies yet, in bytes. A genuine install has some 1,500. */
const MAX_UNVERIFIED_EVENT_BYTES = 64 * 1024

/** Stores what was posted before it is answered; the handlers run afterwards, here or in another process. */
export class QueueIntake implements Intake {
  readonly #parts: QueueIntakeParts

  constructor (parts: QueueIntakeParts) {
    this.#parts = parts
  }

  /** @throws FST_B24_STORE_UNAVAILABLE, FST_B24_INSTALL_BUSY, FST_B24_CLOSING: nothing was stored */
  async take (post: Post, stored: StoredInstall | undefined, _log: FastifyBaseLogger): Promise<Receipt> {
    const { gate, proof } = this.#parts
    if (post.facts !== undefined) return await this.#keep(post, { lifecycle: true }, { status: 'accepted' })
    const isLifecycle = proof.knows(post.envelope.event.toUpperCase())
    const refused = isLifecycle ? proof.refuse(post, stored) : undefined
    if (refused !== undefined) return refused
    const proved = gate.prove(post, stored)
    if (proved.status === 'proved') return await this.#keep(post, { lifecycle: isLifecycle }, { status: 'accepted', portal: proved.portal })
    if (isLifecycle && proof.asks(post, stored)) return await this.#openPending(post, stored)
    return await this.#keepUntilVerified(post, stored, isLifecycle)
  }

  /** An install that nobody has confirmed yet. */
  async #openPending (post: Post, stored: StoredInstall | undefined): Promise<Receipt> {
    const { pendingInstalls, proof, limiter } = this.#parts
    if (isLarge(post)) return rejected('too_large')
    const [pending, id] = [pendingInstallOf(post), randomUUID()]
    const isKnown = wasKnown(post, stored)
    const source = sourceOf(proof.serversOf(post, stored), post.ip, isKnown ? pending.memberId : undefined)
    // Before the storage is asked: what one process takes in must not wear out the storage of all.
    limiter.count('install', source)
    if (!await pendingInstalls.open(pending, source, id)) throw new FST_B24_INSTALL_BUSY()
    try {
      // What waits for a server that does not answer must not keep what waits for another one from its turn.
      return await this.#keep(post, { id, group: isKnown ? undefined : `? ${source.path.slice(0, 2).join(' ')}`, lifecycle: true }, { status: 'accepted' })
    } catch (error) {
      // The place would be taken until it is forgotten.
      await pendingInstalls.abandon(pending, id).catch(() => {})
      throw error
    }
  }

  /** An event that nothing proves: kept only while its install is being verified. */
  async #keepUntilVerified (post: Post, stored: StoredInstall | undefined, lifecycle: boolean): Promise<Receipt> {
    const { pendingInstalls, gate, store } = this.#parts
    if (!isLarge(post) && await pendingInstalls.admitEvent(pendingInstallOf(post))) {
      return await this.#keep(post, { lifecycle, group: wasKnown(post, stored) ? undefined : `? ${networksOf(post.ip)[0]}`, held: true }, { status: 'accepted' })
    }
    // The install may have been confirmed since it was read.
    const proved = gate.prove(post, await store.get(post.envelope.auth.member_id))
    return proved.status === 'proved' ? await this.#keep(post, { lifecycle }, { status: 'accepted', portal: proved.portal }) : proved
  }

  async #keep (post: Post, keeping: Partial<Keeping>, receipt: Receipt): Promise<Receipt> {
    const { queue, limiter, quotas, encryptor, handlers, coalesce } = this.#parts
    const { auth } = post.envelope
    // Nothing verifies yet what is kept for an install: it must not be taken into what is verified.
    const order = keeping.lifecycle === true ? {} : orderOf(post.envelope, handlers, coalesce && keeping.held !== true)
    const queued = stow(post, encryptor, {
      id: randomUUID(),
      ...keeping,
      ...order,
      receivedAt: Date.now(),
      isPriority: keeping.lifecycle === true && limiter.isPriority(keeping.group ?? auth.member_id)
    })
    try {
      await queue.add(queued)
    } catch (error) {
      if (!(error instanceof FST_B24_PORTAL_QUOTA)) throw error
      // An unverified sender must not learn what waits of others.
      if (queued.group !== undefined) throw new FST_B24_INSTALL_BUSY()
      quotas.refused(auth.member_id)
      throw error
    }
    return receipt
  }
}

function isLarge ({ envelope }: Post): boolean {
  return Buffer.byteLength(JSON.stringify(envelope)) > MAX_UNVERIFIED_EVENT_BYTES
}
