import type { FastifyBaseLogger } from 'fastify'
import { FST_B24_CLOSING, FST_B24_HANDLER_FAILED } from '../../errors.ts'
import type { StoredInstall } from '../../storage/install-store.ts'
import type { AbortState } from '../../async/abort.ts'
import { type Dispatcher, combineErrors } from '../handlers/dispatcher.ts'
import type { EventCounts, Receipt } from '../receipt.ts'
import type { Gate } from './gate.ts'
import type { Lifecycle } from '../lifecycle/lifecycle.ts'
import type { LifecycleProof } from '../lifecycle/lifecycle-proof.ts'
import type { Post } from '../post.ts'
import type { Intake } from './receiver.ts'

export interface InlineIntakeParts {
  gate: Gate
  proof: LifecycleProof
  lifecycle: Lifecycle
  dispatcher: Dispatcher
  counts: EventCounts
  /** Aborts when the app closes. */
  closing: AbortState
}

/** Runs the handlers before the answer (`delivery.mode: 'inline'`): for hosts where nothing goes on after it. */
export class InlineIntake implements Intake {
  readonly #parts: InlineIntakeParts

  constructor (parts: InlineIntakeParts) {
    this.#parts = parts
  }

  /**
   * @throws FST_B24_STORE_UNAVAILABLE, FST_B24_OAUTH_UNAVAILABLE, FST_B24_INSTALL_BUSY: nothing was stored
   * @throws FST_B24_CLOSING: the app closed before every handler had run
   * @throws FST_B24_HANDLER_FAILED: its cause is the error of the handler, or an `AggregateError` of several
   */
  async take (post: Post, stored: StoredInstall | undefined, log: FastifyBaseLogger): Promise<Receipt> {
    const { gate, proof, lifecycle, dispatcher, closing, counts } = this.#parts
    const isLifecycle = proof.knows(post.envelope.event.toUpperCase())
    const judged = isLifecycle ? await lifecycle.settle(post, stored) : gate.prove(post, stored)
    if (judged.status === 'rejected' || judged.status === 'stale') return judged
    const pass = { portal: judged.portal, log, run: closing }
    const errors: Error[] = []
    for (const announcement of judged.status === 'accepted' ? judged.announcements : []) errors.push(...await dispatcher.runHooks(announcement, pass))
    if (post.facts === undefined) errors.push(...await dispatcher.dispatch(post.envelope, pass))
    const interrupted = errors.find(error => error instanceof FST_B24_CLOSING)
    if (interrupted !== undefined) throw interrupted
    if (errors.length > 0) throw new FST_B24_HANDLER_FAILED({ cause: combineErrors(errors) })
    counts.handled++
    return { status: 'accepted', portal: judged.portal }
  }
}
