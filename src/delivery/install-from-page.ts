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
import { type EventCounts, rejected, type Rejection } from './receipt.ts'
import { installOf, hasKnownToken } from './lifecycle/install-verifier.ts'
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
  /** Longest wait for a worker, ms. @default 10000 */
  mostWaitMs?: number | undefined
}

/** What came of an event of a page. `clientEndpoint` is the portal's REST base, as the OAuth server names it. */
export type PageOutcome =
  /** The install is stored; `isFinished`: the portal has the app installed, and waits for no `installFinish`. */
  | { status: 'installed', portal: Portal, clientEndpoint: string, isFinished: boolean }
  /** The app was opened where it is installed. */
  | { status: 'open', portal: Portal, clientEndpoint: string }
  | { status: 'not_admin', clientEndpoint: string }
  | Rejection

const SHORTEST_PAUSE_MS = 10
const LONGEST_PAUSE_MS = 250

/** Takes what a user's browser posts to the install page: believes it as little as an event, and asks beside whether the user is an admin. */
export class InstallFromPage {
  readonly #parts: InstallFromPageParts

  constructor (parts: InstallFromPageParts) {
    this.#parts = parts
  }

  /**
   * @throws FST_B24_STORE_UNAVAILABLE, FST_B24_OAUTH_UNAVAILABLE, FST_B24_APP_KEYS, FST_B24_INSTALL_BUSY, FST_B24_CLOSING: nothing was stored
   * @throws FST_B24_PORTAL_UNAVAILABLE and the like when the portal does not tell who its user is: nothing was stored
   * @throws FST_B24_INSTALL_PENDING when the install is stored, and no worker takes it
   * @throws FST_B24_HANDLER_FAILED where handlers run before the answer
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
    const { isAdmin, isInstalled = verified.grant.installed === true } = await pairs.ask(memberId, verified, source)
    // Not before all is asked: strangers must not learn which portals are known. Portals on servers of their own that are old send none;
    // where one is known already, it stays.
    const token = inbound.token ?? knownToken(stored)
    if (token === undefined) return rejected('no_tokens')
    const { clientEndpoint } = verified.grant
    const isOpen = isInstalled && isActive(stored)
    if (!isAdmin) return isOpen ? { status: 'open', portal: portals.of(stored.install), clientEndpoint } : { status: 'not_admin', clientEndpoint }
    const taken = this.#replaces(stored, tokens, isInstalled) ? await pairs.trade(memberId, verified, source) : verified
    if (taken.status === 'rejected') return taken
    const fact: OpenedFact = {
      type: 'opened', ts: Math.floor(Date.now() / 1000), version: taken.grant.version, isFinished: isInstalled, ...installOf(memberId, token, taken)
    }
    const portal = await this.#apply({ ...inbound, facts: [fact] }, fact, stored, log)
    return isOpen ? { status: 'open', portal, clientEndpoint } : { status: 'installed', portal, clientEndpoint, isFinished: isInstalled }
  }

  /** Whether the pair is to replace one that may be good: that of an install that begins again. A page that is reloaded brings the one that is kept. */
  #replaces (stored: StoredInstall | undefined, tokens: object, isFinished: boolean): boolean {
    if (isFinished || stored === undefined || stored.install.state === 'uninstalled') return false
    return hasPair(stored.install) && this.#parts.pairs.ownerOf(stored.install, tokens) === undefined
  }

  /** Gives the install to whoever handles lifecycle events, so that its hooks are told as those of an event are. */
  async #apply (inbound: InboundEvent, fact: OpenedFact, stored: StoredInstall | undefined, log: FastifyBaseLogger): Promise<Portal> {
    const { intake } = this.#parts
    if (stored !== undefined && applyFact(stored.install, fact, Date.now()).install === stored.install) return this.#parts.portals.of(stored.install)
    await intake.take(inbound, stored, log)
    return isActive(stored) ? this.#parts.portals.of(stored.install) : await this.#untilActive(fact.memberId)
  }

  async #untilActive (memberId: string): Promise<Portal> {
    const { store, closing: { signal }, mostWaitMs = 10_000 } = this.#parts
    const end = performance.now() + mostWaitMs
    for (let pause = SHORTEST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
      const stored = await store.get(memberId)
      if (isActive(stored)) return this.#parts.portals.of(stored.install)
      if (performance.now() > end) throw new FST_B24_INSTALL_PENDING()
      await sleep(pause, undefined, { signal, ref: false }).catch(() => { throw new FST_B24_CLOSING() })
    }
  }
}

function knownToken (stored: StoredInstall | undefined): TokenDigest | undefined {
  return stored === undefined || stored.install.state === 'uninstalled' ? undefined : stored.install.token
}

function isActive (stored: StoredInstall | undefined): stored is StoredInstall {
  return stored?.install.state === 'active'
}

/** What the queue, the log and `onReject` see of the event. */
function envelopeOf ({ memberId }: PageRequest): Envelope {
  return { event: 'ONAPPINSTALL', auth: { member_id: memberId } }
}
