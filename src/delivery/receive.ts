import { randomUUID } from 'node:crypto'
import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import { FST_B24_INSTALL_BUSY, FST_B24_PORTAL_QUOTA } from '../errors.ts'
import type { HandlerRegistry } from '../events/handlers.ts'
import { applyAuthFact, type AuthFact } from '../installs/access-transitions.ts'
import type { Encryptor } from '../oauth/encryption.ts'
import { parseScope } from '../oauth/response.ts'
import type { EventQueue } from '../storage/event-queue.ts'
import type { InstallStore, StoredInstall } from '../storage/install-store.ts'
import type { PendingInstalls } from '../storage/pending-installs.ts'
import { integerOf, type Envelope } from '../wire/envelope.ts'
import { networksOf } from './client-ip.ts'
import { orderOf } from './deduplication.ts'
import { inboundEventOf, type InboundEvent, pendingInstallOf, type QueueOptions, toQueuedEvent } from './inbound-event.ts'
import type { InstallVerifier } from './lifecycle/install-verifier.ts'
import { type EventCounts, type Receipt, rejected } from './receive-outcome.ts'
import type { QuotaReports, Rejections } from './rejections.ts'
import type { HandlerContext } from './run-handler.ts'
import { sourceOf, type UnverifiedLimiter } from './unverified-limiter.ts'
import { hasCurrentToken, hasKnownToken, type Verifier } from './verify.ts'

/** Verifies an event, then stores it or runs its handlers, before the response. */
export interface Intake {
  take (inbound: InboundEvent, stored: StoredInstall | undefined, log: FastifyBaseLogger): Promise<Receipt>
}

export interface ReceiverParts {
  store: InstallStore
  intake: Intake
  installVerifier: Pick<InstallVerifier, 'isLifecycleEvent'>
  rejections: Rejections
  counts: EventCounts
}

/** Limits what a portal can add to its record, which is read with every event. */
const SCOPE_NAME = /^[\w.:-]{1,64}$/
const MAX_SCOPES = 200
const STATUS = /^\w{1,16}$/

type Sender = Pick<FastifyRequest, 'log' | 'ip'>

/** Receives events: reads the portal's install, passes both to the intake, and counts the result. */
export class Receiver {
  readonly #parts: ReceiverParts

  constructor (parts: ReceiverParts) {
    this.#parts = parts
  }

  /**
   * @throws FST_B24_STORE_UNAVAILABLE, FST_B24_INSTALL_BUSY, FST_B24_CLOSING: nothing was stored
   * @throws FST_B24_OAUTH_UNAVAILABLE, FST_B24_HANDLER_FAILED if handlers run before the response
   */
  async receive (envelope: Envelope, { log, ip }: Sender): Promise<Receipt> {
    const { store, intake, rejections, counts } = this.#parts
    try {
      const inbound = inboundEventOf(envelope, ip)
      const receipt = await intake.take(inbound, await this.#updateAccess(inbound, await store.get(envelope.auth.member_id), log), log)
      if (receipt.status === 'rejected') rejections.reject(receipt.reason, envelope, log)
      else counts[receipt.status]++
      return receipt
    } catch (error) {
      counts.unavailable++
      throw error
    }
  }

  /** Stores a new scope or status from a verified event. On failure the event is accepted anyway: the next one contains them again. */
  async #updateAccess (inbound: InboundEvent, stored: StoredInstall | undefined, log: FastifyBaseLogger): Promise<StoredInstall | undefined> {
    // Lifecycle events are verified differently and store more.
    if (stored === undefined || this.#parts.installVerifier.isLifecycleEvent(inbound.envelope.event) || !hasCurrentToken(inbound, stored)) return stored
    const install = applyAuthFact(stored.install, authFactOf(inbound), Date.now())
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

function authFactOf ({ envelope: { auth, ts }, token }: InboundEvent): AuthFact {
  const { scope, status } = auth
  return {
    ts: integerOf(ts),
    tokenDigest: token,
    scope: parseScope(scope).filter(name => SCOPE_NAME.test(name)).slice(0, MAX_SCOPES),
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

/** Maximum size of an unverified event as JSON, in bytes. Genuine installs have about 1,500. */
const MAX_UNVERIFIED_EVENT_BYTES = 64 * 1024

/** Stores events before the response. Handlers run later, in this process or another. */
export class QueueIntake implements Intake {
  readonly #parts: QueueIntakeParts

  constructor (parts: QueueIntakeParts) {
    this.#parts = parts
  }

  /** @throws FST_B24_STORE_UNAVAILABLE, FST_B24_INSTALL_BUSY, FST_B24_CLOSING: nothing was stored */
  async take (inbound: InboundEvent, stored: StoredInstall | undefined, _log: FastifyBaseLogger): Promise<Receipt> {
    const { verifier, installVerifier } = this.#parts
    if (inbound.facts !== undefined) return await this.#enqueue(inbound, { lifecycle: true }, { status: 'accepted' })
    const isLifecycle = installVerifier.isLifecycleEvent(inbound.envelope.event)
    const rejection = isLifecycle ? installVerifier.precheck(inbound, stored) : undefined
    if (rejection !== undefined) return rejection
    const verification = verifier.verify(inbound, stored)
    if (verification.status === 'verified') return await this.#enqueue(inbound, { lifecycle: isLifecycle }, { status: 'accepted', portal: verification.portal })
    if (isLifecycle && installVerifier.needsVerification(inbound, stored)) return await this.#openPending(inbound, stored)
    return await this.#quarantine(inbound, stored, isLifecycle)
  }

  /** Stores an install that an OAuth server has yet to confirm. */
  async #openPending (inbound: InboundEvent, stored: StoredInstall | undefined): Promise<Receipt> {
    const { pendingInstalls, installVerifier, limiter } = this.#parts
    if (isLarge(inbound)) return rejected('too_large')
    const [pending, id] = [pendingInstallOf(inbound), randomUUID()]
    const isKnown = hasKnownToken(inbound, stored)
    const source = sourceOf(installVerifier.serversOf(inbound, stored), inbound.ip, isKnown ? pending.memberId : undefined)
    // Checked before the storage is used, because a flood at one process must not overload the shared storage.
    limiter.count('install', source)
    if (!await pendingInstalls.open(pending, source, id)) throw new FST_B24_INSTALL_BUSY()
    try {
      // Grouped by OAuth server, so that installs at a server that is down do not delay those at another one.
      return await this.#enqueue(inbound, { id, group: isKnown ? undefined : `? ${source.path.slice(0, 2).join(' ')}`, lifecycle: true }, { status: 'accepted' })
    } catch (error) {
      // Otherwise the slot would stay occupied until it expires.
      await pendingInstalls.abandon(pending, id).catch(() => {})
      throw error
    }
  }

  /** Stores an unverified event while the install of its portal is pending; rejects it otherwise. */
  async #quarantine (inbound: InboundEvent, stored: StoredInstall | undefined, lifecycle: boolean): Promise<Receipt> {
    const { pendingInstalls, verifier, store } = this.#parts
    if (!isLarge(inbound) && await pendingInstalls.admitEvent(pendingInstallOf(inbound))) {
      const group = hasKnownToken(inbound, stored) ? undefined : `? ${networksOf(inbound.ip)[0]}`
      // A sender without the portal's token must not delay events of its items.
      const isOrdered = !lifecycle && (stored === undefined || stored.install.state === 'uninstalled')
      return await this.#enqueue(inbound, { lifecycle, group, quarantined: true }, { status: 'accepted' }, isOrdered)
    }
    // The install may have been verified since it was read.
    const verification = verifier.verify(inbound, await store.get(inbound.envelope.auth.member_id))
    return verification.status === 'verified' ? await this.#enqueue(inbound, { lifecycle }, { status: 'accepted', portal: verification.portal }) : verification
  }

  async #enqueue (inbound: InboundEvent, options: Partial<QueueOptions>, receipt: Receipt, isOrdered = options.lifecycle !== true): Promise<Receipt> {
    const { queue, limiter, quotas, encryptor, handlers, coalesce } = this.#parts
    const { auth } = inbound.envelope
    // A quarantined event must not be coalesced with a verified one.
    const order = isOrdered ? orderOf(inbound.envelope, handlers, coalesce && options.quarantined !== true) : {}
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
      // The quota code would reveal to an unverified sender how many events wait.
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
