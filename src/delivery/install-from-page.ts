import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import { FST_B24_CLOSING, FST_B24_INSTALL_PENDING } from '../errors.ts'
import { digestOfSent } from '../installs/application-token.ts'
import type { TokenDigest } from '../installs/install.ts'
import { hasPair } from '../installs/token-pairs.ts'
import type { InstallStore, StoredInstall } from '../storage/install-store.ts'
import { applyFact, type OpenedFact } from '../installs/install-transitions.ts'
import type { Portal, Portals } from '../portal/portal.ts'
import type { AbortState } from '../async/abort.ts'
import type { Envelope } from '../wire/envelope.ts'
import type { PageRequest } from '../wire/non-events.ts'
import { type EventCounts, rejected, type Rejection } from './receive-outcome.ts'
import { installOf } from './lifecycle/install-verifier.ts'
import { hasKnownToken } from './verify.ts'
import type { PairCheck } from './lifecycle/pair-check.ts'
import type { InboundEvent } from './inbound-event.ts'
import type { Intake } from './receive.ts'
import type { Rejections } from './rejections.ts'

export interface InstallFromPageParts {
  store: InstallStore
  portals: Portals
  intake: Intake
  rejections: Rejections
  counts: EventCounts
  pairs: PairCheck
  /** Aborts when the app closes. */
  closing: AbortState
  /** Maximum wait for a worker to process the install, ms. @default 10000 */
  maxWaitMs?: number | undefined
}

/** Result of a page request. `clientEndpoint` is the REST base of the portal, as returned by the OAuth server. */
export type PageOutcome =
  /** The install is stored. `isFinished`: the portal does not wait for `installFinish`. */
  | { status: 'installed', portal: Portal, clientEndpoint: string, isFinished: boolean }
  /** The app is installed already. */
  | { status: 'open', portal: Portal, clientEndpoint: string }
  | { status: 'not_admin', clientEndpoint: string }
  | Rejection

const MIN_POLL_MS = 10
const MAX_POLL_MS = 250

/** Handles the form that a user's browser posts to the install page: verifies it like an install, and whether the user is an admin. */
export class InstallFromPage {
  readonly #parts: InstallFromPageParts

  constructor (parts: InstallFromPageParts) {
    this.#parts = parts
  }

  /**
   * @throws FST_B24_STORE_UNAVAILABLE, FST_B24_OAUTH_UNAVAILABLE, FST_B24_APP_KEYS, FST_B24_INSTALL_BUSY, FST_B24_CLOSING: nothing was stored
   * @throws FST_B24_PORTAL_UNAVAILABLE and other errors of calls if the portal does not return the token's user: nothing was stored
   * @throws FST_B24_INSTALL_PENDING if the install is stored but no worker processes it in time
   * @throws FST_B24_HANDLER_FAILED if handlers run before the response
   */
  async take (page: PageRequest, { ip, log }: { ip: string, log: FastifyBaseLogger }): Promise<PageOutcome> {
    const { store, rejections, counts } = this.#parts
    const inbound: InboundEvent = { envelope: envelopeOf(page), token: digestOfSent(page.applicationToken), ip }
    try {
      const outcome = await this.#verify(page, inbound, await store.get(page.memberId), log)
      const reason = outcome.status === 'rejected' ? outcome.reason : outcome.status
      if (reason === 'installed' || reason === 'open') counts.accepted++
      else rejections.reject(reason, inbound.envelope, log)
      return outcome
    } catch (error) {
      counts.unavailable++
      throw error
    }
  }

  async #verify (page: PageRequest, inbound: InboundEvent, stored: StoredInstall | undefined, log: FastifyBaseLogger): Promise<PageOutcome> {
    const { pairs, portals } = this.#parts
    const { memberId } = page
    const source = { ip: inbound.ip, isVerified: hasKnownToken(inbound, stored), mayRefresh: false }
    const tokens = { access_token: page.accessToken, refresh_token: page.refreshToken, server_endpoint: page.serverEndpoint }
    const verified = await pairs.check(memberId, tokens, source)
    if (verified.status === 'rejected') return verified
    const { isAdmin, isInstalled = verified.grant.installed === true } = await pairs.fetchUser(memberId, verified, source)
    // Checked last: an unverified sender must not learn which portals are known. Old self-hosted portals send no token; a stored one is kept.
    const token = inbound.token ?? storedToken(stored)
    if (token === undefined) return rejected('no_tokens')
    const { clientEndpoint } = verified.grant
    const isOpen = isInstalled && isActive(stored)
    if (!isAdmin) return isOpen ? { status: 'open', portal: portals.of(stored.install), clientEndpoint } : { status: 'not_admin', clientEndpoint }
    const confirmed = this.#replaces(stored, tokens, isInstalled) ? await pairs.refresh(memberId, verified, source) : verified
    if (confirmed.status === 'rejected') return confirmed
    const fact: OpenedFact = {
      type: 'opened', ts: Math.floor(Date.now() / 1000), version: confirmed.grant.version, isFinished: isInstalled, ...installOf(memberId, token, confirmed)
    }
    const portal = await this.#apply({ ...inbound, facts: [fact] }, fact, stored, log)
    return isOpen ? { status: 'open', portal, clientEndpoint } : { status: 'installed', portal, clientEndpoint, isFinished: isInstalled }
  }

  /** Returns whether the pair would replace a possibly valid one: the installation was started again. A reloaded page sends the stored pair. */
  #replaces (stored: StoredInstall | undefined, tokens: object, isFinished: boolean): boolean {
    if (isFinished || stored === undefined || stored.install.state === 'uninstalled') return false
    return hasPair(stored.install) && this.#parts.pairs.ownerOf(stored.install, tokens) === undefined
  }

  /** Passes the install to the intake, so that its hooks run like those of an event. */
  async #apply (inbound: InboundEvent, fact: OpenedFact, stored: StoredInstall | undefined, log: FastifyBaseLogger): Promise<Portal> {
    const { intake } = this.#parts
    if (stored !== undefined && applyFact(stored.install, fact, Date.now()).install === stored.install) return this.#parts.portals.of(stored.install)
    await intake.take(inbound, stored, log)
    return isActive(stored) ? this.#parts.portals.of(stored.install) : await this.#waitUntilActive(fact.memberId)
  }

  async #waitUntilActive (memberId: string): Promise<Portal> {
    const { store, closing: { signal }, maxWaitMs = 10_000 } = this.#parts
    const end = performance.now() + maxWaitMs
    for (let pollMs = MIN_POLL_MS; ; pollMs = Math.min(pollMs * 2, MAX_POLL_MS)) {
      const stored = await store.get(memberId)
      if (isActive(stored)) return this.#parts.portals.of(stored.install)
      if (performance.now() > end) throw new FST_B24_INSTALL_PENDING()
      await sleep(pollMs, undefined, { signal, ref: false }).catch(() => { throw new FST_B24_CLOSING() })
    }
  }
}

function storedToken (stored: StoredInstall | undefined): TokenDigest | undefined {
  return stored === undefined || stored.install.state === 'uninstalled' ? undefined : stored.install.token
}

function isActive (stored: StoredInstall | undefined): stored is StoredInstall {
  return stored?.install.state === 'active'
}

/** Creates the envelope shown in the queue, the log and `onReject`. */
function envelopeOf ({ memberId }: PageRequest): Envelope {
  return { event: 'ONAPPINSTALL', auth: { member_id: memberId } }
}
