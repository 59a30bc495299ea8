import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import type { InstallStore, StoredInstall } from '../../installs/store.ts'
import type { Envelope } from '../../wire/envelope.ts'
import type { EventCounts } from '../event-counts.ts'
import { postOf, type Post } from '../post.ts'
import type { Receipt } from '../receipt.ts'
import type { Rejections } from '../rejections.ts'

/** What is done with a post before it is answered. */
export interface Intake {
  take (post: Post, stored: StoredInstall | undefined, log: FastifyBaseLogger): Promise<Receipt>
}

export interface ReceiverParts {
  store: InstallStore
  intake: Intake
  rejections: Rejections
  counts: EventCounts
}

/** Who posts, and the log of the request. */
type Sender = Pick<FastifyRequest, 'log' | 'ip'>

/** Takes an envelope from the wire: finds what is known of its portal, hands both to the intake, and counts what came of it. */
export class Receiver {
  readonly #parts: ReceiverParts

  constructor (parts: ReceiverParts) {
    this.#parts = parts
  }

  /**
   * @throws FST_B24_STORE_UNAVAILABLE, FST_B24_INSTALL_BUSY, FST_B24_CLOSING: nothing was stored
   * @throws FST_B24_OAUTH_UNAVAILABLE, FST_B24_HANDLER_FAILED where handlers run before the answer
   */
  async receive (envelope: Envelope, { log, ip }: Sender): Promise<Receipt> {
    const { store, intake, rejections, counts } = this.#parts
    try {
      const receipt = await intake.take(postOf(envelope, ip), await store.get(envelope.auth.member_id), log)
      if (receipt.status === 'rejected') rejections.tell(receipt.reason, envelope, log)
      else counts[receipt.status]++
      return receipt
    } catch (error) {
      counts.unavailable++
      throw error
    }
  }
}
