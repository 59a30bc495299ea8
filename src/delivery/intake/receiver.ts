import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import { applyAuthFact, type AuthFact } from '../../installs/access-transitions.ts'
import type { InstallStore, StoredInstall } from '../../storage/install-store.ts'
import { parseScope } from '../../oauth/response.ts'
import { integerOf, type Envelope } from '../../wire/envelope.ts'
import type { EventCounts, Receipt } from '../receipt.ts'
import { isProven } from '../lifecycle/lifecycle-proof.ts'
import { postOf, type Post } from '../post.ts'
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

/** They are verified in ways of their own. */
const LIFECYCLE = /^ONAPP(INSTALL|UPDATE|USERREADY|UNINSTALL)$/i
/** The record is read at every event: it must not grow by what a portal says of itself. */
const SCOPE_NAME = /^[\w.:-]{1,64}$/
const MOST_SCOPES = 200
const STATUS = /^\w{1,16}$/

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
      const post = postOf(envelope, ip)
      const receipt = await intake.take(post, await this.#follow(post, await store.get(envelope.auth.member_id), log), log)
      if (receipt.status === 'rejected') rejections.reject(receipt.reason, envelope, log)
      else counts[receipt.status]++
      return receipt
    } catch (error) {
      counts.unavailable++
      throw error
    }
  }

  /** Keeps what a verified event says of its portal. Where that cannot be kept, the event is taken anyway: the next one says it again. */
  async #follow (post: Post, stored: StoredInstall | undefined, log: FastifyBaseLogger): Promise<StoredInstall | undefined> {
    if (stored === undefined || LIFECYCLE.test(post.envelope.event) || !isProven(post, stored)) return stored
    const install = applyAuthFact(stored.install, seenIn(post), Date.now())
    if (install === stored.install) return stored
    try {
      const isWritten = await this.#parts.store.swap(install.memberId, stored.version, install)
      return isWritten ? { version: stored.version + 1, install } : stored
    } catch (error) {
      log.warn({ err: error, memberId: install.memberId }, 'failed to persist portal status')
      return stored
    }
  }
}

function seenIn ({ envelope: { auth, ts }, token }: Post): AuthFact {
  const { scope, status } = auth
  return {
    ts: integerOf(ts),
    tokenDigest: token,
    scope: parseScope(scope).filter(name => SCOPE_NAME.test(name)).slice(0, MOST_SCOPES),
    status: typeof status === 'string' && STATUS.test(status) ? status : undefined
  }
}
