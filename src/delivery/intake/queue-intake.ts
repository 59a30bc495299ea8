import { randomUUID } from 'node:crypto'
import type { FastifyBaseLogger } from 'fastify'
import { FST_B24_INSTALL_BUSY } from '../../errors.ts'
import { definitionOf, itemOf } from '../../events/definitions.ts'
import type { HandlerRegistry } from '../../events/handlers.ts'
import type { PendingInstalls } from '../../storage/pending-installs.ts'
import type { InstallStore, StoredInstall } from '../../storage/install-store.ts'
import type { Encryptor } from '../../oauth/encryption.ts'
import { sourceOf } from '../lifecycle/source-of.ts'
import type { EventQueue } from '../../queue/queue.ts'
import { ExpressLane } from './express-lane.ts'
import type { Gate } from './gate.ts'
import type { HandlerContext } from '../handlers/run-handler.ts'
import { wasKnown, type LifecycleProof } from '../lifecycle/lifecycle-proof.ts'
import { pendingInstallOf, type Post } from '../post.ts'
import { stow, type Keeping } from '../queued-post.ts'
import { type Receipt, rejected } from '../receipt.ts'
import type { Intake } from './receiver.ts'

export interface QueueIntakeParts {
  store: InstallStore
  claims: PendingInstalls
  queue: EventQueue
  gate: Gate
  proof: LifecycleProof
  encryptor: Encryptor
  hooks: HandlerRegistry<HandlerContext>
  coalesce: boolean
}

/** Largest body, as JSON, that is kept of a sender whom nothing verifies yet, in bytes. A genuine install has some 1,500. */
const MAX_UNVERIFIED_BYTES = 64 * 1024

/** Stores what was posted before it is answered; the handlers run afterwards, here or in another process. */
export class QueueIntake implements Intake {
  readonly #parts: QueueIntakeParts
  readonly #lane = new ExpressLane()

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
    if (isLifecycle && proof.asks(post, stored)) return await this.#claim(post, stored)
    return await this.#hold(post, stored, isLifecycle)
  }

  /** An install that nobody has confirmed yet. */
  async #claim (post: Post, stored: StoredInstall | undefined): Promise<Receipt> {
    const { claims } = this.#parts
    if (isLarge(post)) return rejected('too_large')
    const [claim, id] = [pendingInstallOf(post), randomUUID()]
    const turn = turnOf(post, stored)
    if (!await claims.open(claim, turn ?? claim.memberId, id)) throw new FST_B24_INSTALL_BUSY()
    try {
      return await this.#keep(post, { id, turn, lifecycle: true }, { status: 'accepted' })
    } catch (error) {
      // The place would be taken until the claim is forgotten.
      await claims.lose(claim, id).catch(() => {})
      throw error
    }
  }

  /** An event that nothing proves: kept only while its install is being verified. */
  async #hold (post: Post, stored: StoredInstall | undefined, lifecycle: boolean): Promise<Receipt> {
    const { claims, gate, store } = this.#parts
    if (!isLarge(post) && await claims.hold(pendingInstallOf(post))) {
      return await this.#keep(post, { lifecycle, turn: turnOf(post, stored), held: true }, { status: 'accepted' })
    }
    // The install may have been confirmed since it was read.
    const proved = gate.prove(post, await store.get(post.envelope.auth.member_id))
    return proved.status === 'proved' ? await this.#keep(post, { lifecycle }, { status: 'accepted', portal: proved.portal }) : proved
  }

  async #keep (post: Post, keeping: Partial<Keeping>, receipt: Receipt): Promise<Receipt> {
    const { queue, encryptor, hooks, coalesce } = this.#parts
    const { event, data, auth } = post.envelope
    const definition = keeping.lifecycle ? undefined : definitionOf(event)
    const item = definition === undefined ? undefined : itemOf(definition, data)
    await queue.add(stow(post, encryptor, {
      id: randomUUID(),
      ...keeping,
      receivedAt: Date.now(),
      first: keeping.lifecycle === true && this.#lane.admits(keeping.turn ?? auth.member_id),
      item,
      coalesce: coalesce && definition?.content !== true && keeping.held !== true && hooks.coalesces(event)
    }))
    return receipt
  }
}

/** Who answers for a post that nothing proves yet: a member id is easy to claim. `undefined` for the portal, where its token says so. */
function turnOf (post: Post, stored: StoredInstall | undefined): string | undefined {
  return wasKnown(post, stored) ? undefined : `? ${sourceOf(post.ip)}`
}

function isLarge ({ envelope }: Post): boolean {
  return Buffer.byteLength(JSON.stringify(envelope)) > MAX_UNVERIFIED_BYTES
}
