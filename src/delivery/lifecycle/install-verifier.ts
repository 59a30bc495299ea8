import { integerOf, type Envelope } from '../../wire/envelope.ts'
import { verifyToken, verifyUninstallToken } from '../../installs/application-token.ts'
import type { Install, PairOwner, TokenDigest } from '../../installs/install.ts'
import { isAlive, isOutdated, replacesPair } from '../../installs/token-pairs.ts'
import type { StoredInstall } from '../../storage/install-store.ts'
import type { InstallFact, VerifiedInstall } from '../../installs/install-transitions.ts'
import type { CheckSource, PairCheck, RefreshLog, VerifiedPair } from './pair-check.ts'
import type { InboundEvent } from '../inbound-event.ts'
import { rejected, type Rejection } from '../receipt.ts'

/** Real ones are as short as `12` or `1.0.0`; the record is read at every event. */
const LONGEST_VERSION = 64

/** What the lifecycle events say beside the portal, its tokens and its addresses. */
export interface LifecycleData {
  /** Portal's time, Unix seconds; `undefined` where it did not fit. */
  ts: number | undefined
  version: string | undefined
  previousVersion: string | undefined
  /** The user asked to delete the app's data too. */
  clean: boolean
}

/**
 * Reads `ts` and `data` of a lifecycle event as they come from the wire.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/tree/main/api-reference/common/events
 */
export function readLifecycleData ({ ts, data }: Envelope): LifecycleData {
  const { VERSION, PREVIOUS_VERSION, CLEAN } = (data ?? {}) as Record<string, unknown>
  return {
    ts: integerOf(ts),
    version: textOf(VERSION),
    previousVersion: textOf(PREVIOUS_VERSION),
    clean: textOf(CLEAN) === '1'
  }
}

function textOf (value: unknown): string | undefined {
  const text = typeof value === 'number' ? String(value) : value
  return typeof text === 'string' && text.length <= LONGEST_VERSION ? text : undefined
}

export type Verification =
  | { status: 'verified', facts: InstallFact[] }
  /** Known already, or older than what is known. */
  | { status: 'stale' }
  | Rejection

/** Where a token pair stands in an event. */
export type PairLocation = 'auth' | 'data'

/** What is kept of the refreshes of an event. */
export type RefreshLogs = (place: PairLocation) => RefreshLog

type Verify = (inbound: InboundEvent, stored: StoredInstall | undefined, trades: RefreshLogs) => Promise<Verification>

const STALE = { status: 'stale' } as const
/** Where nothing is kept between attempts, as there is only one. */
const NOTHING_KEPT: RefreshLogs = () => ({ before: async () => {}, after: async () => {} })

/**
 * What the lifecycle events prove. Each brings its own proof: a pair of an admin that the OAuth server and the portal confirm, or,
 * where the app has no rights any more, the token alone.
 */
export class InstallVerifier {
  readonly #pairs: PairCheck
  readonly #byCode: ReadonlyMap<string, Verify> = new Map<string, Verify>([
    ['ONAPPINSTALL', (...asked) => this.#install(...asked)],
    ['ONAPPUPDATE', (...asked) => this.#update(...asked)],
    ['ONAPPUSERREADY', (...asked) => this.#userReady(...asked)],
    ['ONAPPUNINSTALL', async (inbound, stored) => uninstall(inbound, stored)]
  ])

  constructor (pairs: PairCheck) {
    this.#pairs = pairs
  }

  /** Tells whether an event changes an install. */
  isLifecycleEvent (code: string): boolean {
    return this.#byCode.has(code)
  }

  /** Tells whether an OAuth server has to be asked before the event is believed. */
  needsVerification (inbound: InboundEvent, stored: StoredInstall | undefined): boolean {
    return pairsOf(inbound, stored).length > 0
  }

  /** Why an event proves nothing, whatever an OAuth server would say; `undefined` when one has to be asked, or need not be. */
  precheck (inbound: InboundEvent, stored: StoredInstall | undefined): Rejection | undefined {
    for (const tokens of pairsOf(inbound, stored)) {
      const problem = inbound.token === undefined ? 'no_tokens' : this.#pairs.problemOf(inbound.envelope.auth.member_id, tokens)
      if (problem !== undefined) return rejected(problem)
    }
    return undefined
  }

  /** OAuth servers that have to be asked before the event is believed; two of them are one name of their own. */
  serversOf (inbound: InboundEvent, stored: StoredInstall | undefined): string {
    return [...new Set(pairsOf(inbound, stored).map(tokens => this.#pairs.serverOf(tokens)))].join(' and ')
  }

  /** Whose pair of the record it is that an event brings, in its `auth` or `data`. */
  ownerOf (install: Install | undefined, { envelope }: InboundEvent, place: PairLocation): PairOwner | undefined {
    return this.#pairs.ownerOf(install, envelope[place])
  }

  /**
   * What is true after this event, in order.
   *
   * @throws FST_B24_OAUTH_UNAVAILABLE, FST_B24_APP_KEYS, FST_B24_INSTALL_BUSY; FST_B24_PORTAL_UNAVAILABLE and the like when the portal
   * does not say who its user is
   */
  verify (inbound: InboundEvent, stored: StoredInstall | undefined, trades: RefreshLogs = NOTHING_KEPT): Promise<Verification> {
    const verify = this.#byCode.get(inbound.envelope.event.toUpperCase()) as Verify
    return verify(inbound, stored, trades)
  }

  async #install (inbound: InboundEvent, stored: StoredInstall | undefined, trades: RefreshLogs): Promise<Verification> {
    const verified = await this.#verifyInstall(inbound, stored, trades)
    if (verified.status !== 'verified') return verified
    const { ts, version } = readLifecycleData(inbound.envelope)
    return verifiedFacts({ type: 'installed', ts, version, ...verified.install })
  }

  async #update (inbound: InboundEvent, stored: StoredInstall | undefined, trades: RefreshLogs): Promise<Verification> {
    const { ts, version } = readLifecycleData(inbound.envelope)
    if (pairsOf(inbound, stored).length === 0) return verifiedFacts({ type: 'updated', ts, version })
    const verified = await this.#verifyInstall(inbound, stored, trades)
    if (verified.status !== 'verified') return verified
    return verifiedFacts({ type: 'updated', ts, version, verified: verified.install })
  }

  /** The pair in `data` is the system user's. The one in `auth` is the installer's: the first word of an install, if this event overtook it. */
  async #userReady (inbound: InboundEvent, stored: StoredInstall | undefined, trades: RefreshLogs): Promise<Verification> {
    const isKnown = hasCurrentToken(inbound, stored)
    if (isKnown && this.ownerOf(stored?.install, inbound, 'data') !== undefined) return STALE
    const install = isKnown ? undefined : await this.#install(inbound, stored, trades)
    if (install !== undefined && install.status !== 'verified') return install
    const { member_id: memberId } = inbound.envelope.auth
    const source = sourceFor(inbound, stored, trades('data'))
    const checked = await this.#pairs.check(memberId, inbound.envelope.data, source)
    if (checked.status === 'rejected') return checked
    // Whether a portal counts its system user among the admins is not documented: the admin beside it will do.
    const isOfAdmin = install !== undefined || (await this.#pairs.ask(memberId, checked, source)).isAdmin || await this.#isAdmins(inbound, stored, trades)
    if (!isOfAdmin) return rejected('not_admin')
    const verified = isKnown && isAlive(stored?.install.systemUser) ? await this.#pairs.trade(memberId, checked, source) : checked
    if (verified.status === 'rejected') return verified
    const { pair, grant: { isRefreshed } } = verified
    return verifiedFacts(...install?.facts ?? [], { type: 'userReady', ts: readLifecycleData(inbound.envelope).ts, pair, isRefreshed })
  }

  /** Whether the pair in `auth` is that of an admin; the installer's, which is kept, was asked for when it came. */
  async #isAdmins (inbound: InboundEvent, stored: StoredInstall | undefined, trades: RefreshLogs): Promise<boolean> {
    const { auth } = inbound.envelope
    if (this.ownerOf(stored?.install, inbound, 'auth') === 'installer') return true
    if (auth.access_token === undefined) return false
    const source = sourceFor(inbound, stored, trades('auth'))
    const checked = await this.#pairs.check(auth.member_id, auth, source)
    return checked.status === 'verified' && (await this.#pairs.ask(auth.member_id, checked, source)).isAdmin
  }

  /** Confirms the pair in `auth`, and that it is of an admin: else any user of a portal could event an install with an `application_token` of their own. */
  async #verifyInstall (inbound: InboundEvent, stored: StoredInstall | undefined, trades: RefreshLogs): Promise<{ status: 'verified', install: VerifiedInstall } | Exclude<Verification, { status: 'verified' }>> {
    const { envelope: { auth }, token } = inbound
    if (token === undefined) return rejected('no_tokens')
    const claimed = { tokenDigest: token, ...readLifecycleData(inbound.envelope) }
    if (isOutdated(stored?.install, claimed, Date.now())) return STALE
    // To ask about a pair that is kept may use it up.
    if (this.ownerOf(stored?.install, inbound, 'auth') !== undefined) return hasCurrentToken(inbound, stored) ? STALE : rejected('wrong_token')
    const source = sourceFor(inbound, stored, trades('auth'))
    const checked = await this.#pairs.check(auth.member_id, auth, source)
    if (checked.status === 'rejected') return checked
    if (!(await this.#pairs.ask(auth.member_id, checked, source)).isAdmin) return rejected('not_admin')
    const replaces = replacesPair(stored?.install, claimed, checked.pair.userId, Date.now())
    const verified = replaces ? await this.#pairs.trade(auth.member_id, checked, source) : checked
    return verified.status === 'rejected' ? verified : { status: 'verified', install: installOf(auth.member_id, token, verified) }
  }
}

function sourceFor (inbound: InboundEvent, stored: StoredInstall | undefined, trades: RefreshLog): CheckSource {
  return { ip: inbound.ip, isVerified: hasKnownToken(inbound, stored), trades }
}

function uninstall (inbound: InboundEvent, stored: StoredInstall | undefined): Verification {
  if (!hasKnownToken(inbound, stored)) return rejected(stored === undefined ? 'unknown_portal' : 'wrong_token')
  return verifiedFacts({ type: 'uninstalled', ts: readLifecycleData(inbound.envelope).ts })
}

/** Where the token pairs stand that have to be checked before the event is believed; none for an uninstall. */
function pairsOf (inbound: InboundEvent, stored: StoredInstall | undefined): unknown[] {
  const { auth, data, event } = inbound.envelope
  switch (event.toUpperCase()) {
    case 'ONAPPUSERREADY': return hasCurrentToken(inbound, stored) ? [data] : [data, auth]
    case 'ONAPPINSTALL': return [auth]
    // An update that Bitrix24 could not link to a user brings no pair.
    case 'ONAPPUPDATE': return auth.access_token === undefined && hasCurrentToken(inbound, stored) ? [] : [auth]
    default: return []
  }
}

/** Whether the sender has the token of the portal, be it uninstalled: reason enough not to make it wait behind strangers. */
export function hasKnownToken ({ token }: InboundEvent, stored: StoredInstall | undefined): boolean {
  return verifyUninstallToken(stored?.install, token, Date.now())
}

export function hasCurrentToken ({ token }: InboundEvent, stored: StoredInstall | undefined): boolean {
  return verifyToken(stored?.install, token, Date.now())
}

function verifiedFacts (...facts: InstallFact[]): Verification & { status: 'verified' } {
  return { status: 'verified', facts }
}

export function installOf (memberId: string, tokenDigest: TokenDigest, { grant, pair }: VerifiedPair): VerifiedInstall {
  const { domain, clientEndpoint, oauthServer, scope, status } = grant
  return { memberId, domain, clientEndpoint, oauthServer, scope, status, pair, isRefreshed: grant.isRefreshed, tokenDigest, verifiedAt: Date.now() }
}
