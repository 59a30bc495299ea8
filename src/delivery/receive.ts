import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import { randomUUID } from 'node:crypto'
import { applyAuthFact, type AuthFact } from '../installs/access-transitions.ts'
import type { InstallStore, StoredInstall } from '../storage/install-store.ts'
import { parseScope } from '../oauth/response.ts'
import { integerOf, type Envelope } from '../wire/envelope.ts'
import { type EventCounts, type Receipt, rejected } from './receipt.ts'
import { hasCurrentToken, hasKnownToken, type InstallVerifier } from './lifecycle/install-verifier.ts'
import { inboundEventOf, type InboundEvent, pendingInstallOf, orderOf, toQueuedEvent, type QueueOptions } from './inbound-event.ts'
import type { Rejections, QuotaReports } from './rejections.ts'
import { FST_B24_INSTALL_BUSY, FST_B24_PORTAL_QUOTA } from '../errors.ts'
import type { HandlerRegistry } from '../events/handlers.ts'
import type { PendingInstalls } from '../storage/pending-installs.ts'
import type { Encryptor } from '../oauth/encryption.ts'
import type { EventQueue } from '../storage/event-queue.ts'
import type { Verifier } from './verify.ts'
import type { HandlerContext } from './run-handler.ts'
import { networksOf } from './client-ip.ts'
import { sourceOf, type UnverifiedLimiter } from './unverified-limiter.ts'

/** What is done with an event before it is answered. */
export interface Intake {
  take (inbound: InboundEvent, stored: StoredInstall | undefined, log: FastifyBaseLogger): Promise<Receipt>
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
      const inbound = inboundEventOf(envelope, ip)
      const receipt = await intake.take(inbound, await this.#follow(inbound, await store.get(envelope.auth.member_id), log), log)
      if (receipt.status === 'rejected') rejections.reject(receipt.reason, envelope, log)
      else counts[receipt.status]++
      return receipt
    } catch (error) {
      counts.unavailable++
      throw error
    }
  }

  /** Keeps what a verified event says of its portal. Where that cannot be kept, the event is taken anyway: the next one says it again. */
  async #follow (inbound: InboundEvent, stored: StoredInstall | undefined, log: FastifyBaseLogger): Promise<StoredInstall | undefined> {
    if (stored === undefined || LIFECYCLE.test(inbound.envelope.event) || !hasCurrentToken(inbound, stored)) return stored
    const install = applyAuthFact(stored.install, seenIn(inbound), Date.now())
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

function seenIn ({ envelope: { auth, ts }, token }: InboundEvent): AuthFact {
  const { scope, status } = auth
  return {
    ts: integerOf(ts),
    tokenDigest: token,
    scope: parseScope(scope).filter(name => SCOPE_NAME.test(name)).slice(0, MOST_SCOPES),
    status: typeof status === 'string' && STATUS.test(status) ? status : undefined
  }
}

export interface QueueIntakeParts {
  store: InstallStore
  pendingInstalls: PendingInstalls
  queue: Pick<EventQueue, 'add'>
  limiter: UnverifiedLimiter
  verifier: Verifier
  installVerifier: InstallVerifier
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
  async take (inbound: InboundEvent, stored: StoredInstall | undefined, _log: FastifyBaseLogger): Promise<Receipt> {
    const { verifier, installVerifier } = this.#parts
    if (inbound.facts !== undefined) return await this.#enqueue(inbound, { lifecycle: true }, { status: 'accepted' })
    const isLifecycle = installVerifier.isLifecycleEvent(inbound.envelope.event.toUpperCase())
    const refused = isLifecycle ? installVerifier.precheck(inbound, stored) : undefined
    if (refused !== undefined) return refused
    const verification = verifier.verify(inbound, stored)
    if (verification.status === 'verified') return await this.#enqueue(inbound, { lifecycle: isLifecycle }, { status: 'accepted', portal: verification.portal })
    if (isLifecycle && installVerifier.needsVerification(inbound, stored)) return await this.#openPending(inbound, stored)
    return await this.#quarantine(inbound, stored, isLifecycle)
  }

  /** An install that nobody has confirmed yet. */
  async #openPending (inbound: InboundEvent, stored: StoredInstall | undefined): Promise<Receipt> {
    const { pendingInstalls, installVerifier, limiter } = this.#parts
    if (isLarge(inbound)) return rejected('too_large')
    const [pending, id] = [pendingInstallOf(inbound), randomUUID()]
    const isKnown = hasKnownToken(inbound, stored)
    const source = sourceOf(installVerifier.serversOf(inbound, stored), inbound.ip, isKnown ? pending.memberId : undefined)
    // Before the storage is asked: what one process takes in must not wear out the storage of all.
    limiter.count('install', source)
    if (!await pendingInstalls.open(pending, source, id)) throw new FST_B24_INSTALL_BUSY()
    try {
      // What waits for a server that does not answer must not keep what waits for another one from its turn.
      return await this.#enqueue(inbound, { id, group: isKnown ? undefined : `? ${source.path.slice(0, 2).join(' ')}`, lifecycle: true }, { status: 'accepted' })
    } catch (error) {
      // The place would be taken until it is forgotten.
      await pendingInstalls.abandon(pending, id).catch(() => {})
      throw error
    }
  }

  /** An event that nothing proves: kept only while its install is being verified. */
  async #quarantine (inbound: InboundEvent, stored: StoredInstall | undefined, lifecycle: boolean): Promise<Receipt> {
    const { pendingInstalls, verifier, store } = this.#parts
    if (!isLarge(inbound) && await pendingInstalls.admitEvent(pendingInstallOf(inbound))) {
      return await this.#enqueue(inbound, { lifecycle, group: hasKnownToken(inbound, stored) ? undefined : `? ${networksOf(inbound.ip)[0]}`, quarantined: true }, { status: 'accepted' })
    }
    // The install may have been confirmed since it was read.
    const verification = verifier.verify(inbound, await store.get(inbound.envelope.auth.member_id))
    return verification.status === 'verified' ? await this.#enqueue(inbound, { lifecycle }, { status: 'accepted', portal: verification.portal }) : verification
  }

  async #enqueue (inbound: InboundEvent, options: Partial<QueueOptions>, receipt: Receipt): Promise<Receipt> {
    const { queue, limiter, quotas, encryptor, handlers, coalesce } = this.#parts
    const { auth } = inbound.envelope
    // Nothing verifies yet what is kept for an install: it must not be taken into what is verified.
    const order = options.lifecycle === true ? {} : orderOf(inbound.envelope, handlers, coalesce && options.quarantined !== true)
    const queued = toQueuedEvent(inbound, encryptor, {
      id: randomUUID(),
      ...options,
      ...order,
      receivedAt: Date.now(),
      isPriority: options.lifecycle === true && limiter.isPriority(options.group ?? auth.member_id)
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

function isLarge ({ envelope }: InboundEvent): boolean {
  return Buffer.byteLength(JSON.stringify(envelope)) > MAX_UNVERIFIED_EVENT_BYTES
}
