import { integerOf, type Envelope } from '../../wire/envelope.ts'
import type { Install, PairOwner, TokenDigest } from '../../installs/install.ts'
import { isAlive, isOutdated, replacesPair } from '../../installs/token-pairs.ts'
import type { StoredInstall } from '../../storage/install-store.ts'
import type { InstallFact, VerifiedInstall } from '../../installs/install-transitions.ts'
import type { CheckSource, PairCheck, RefreshLog, VerifiedPair } from './pair-check.ts'
import type { InboundEvent } from '../inbound-event.ts'
import { rejected, type Rejection } from '../receive-outcome.ts'
import { hasCurrentToken, hasKnownToken } from '../verify.ts'

/** Actual versions look like `12` or `1.0.0`. Bounded because the record is read with every event. */
const MAX_VERSION_LENGTH = 64

/** Fields of a lifecycle event besides the portal, its tokens and its addresses. */
export interface LifecycleData {
  /** Time of the portal, Unix seconds; `undefined` if invalid. */
  ts: number | undefined
  version: string | undefined
  previousVersion: string | undefined
  /** The user requested to delete the app's data too. */
  clean: boolean
}

/**
 * Reads `ts` and `data` of a lifecycle event.
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
  return typeof text === 'string' && text.length <= MAX_VERSION_LENGTH ? text : undefined
}

export type Verification =
  | { status: 'verified', facts: InstallFact[] }
  /** Already applied, or older than the stored install. */
  | { status: 'stale' }
  | Rejection

/** Where an event contains a token pair. */
export type PairLocation = 'auth' | 'data'

/** Refresh logs of the token pairs of an event. */
export type RefreshLogs = (location: PairLocation) => RefreshLog

type Verify = (inbound: InboundEvent, stored: StoredInstall | undefined, logs: RefreshLogs) => Promise<Verification>

const STALE = { status: 'stale' } as const
/** Saves nothing: without a queue there is only one attempt. */
const NO_LOGS: RefreshLogs = () => ({ before: async () => {}, after: async () => {} })

/**
 * Verifies lifecycle events. ONAPPINSTALL, ONAPPUPDATE and ONAPPUSERREADY require the token pair of an admin, confirmed by the OAuth server
 * and the portal. ONAPPUNINSTALL comes when the app has lost its access, and requires only the `application_token`.
 */
export class InstallVerifier {
  readonly #pairs: PairCheck
  readonly #byCode: ReadonlyMap<string, Verify> = new Map<string, Verify>([
    ['ONAPPINSTALL', (...args) => this.#install(...args)],
    ['ONAPPUPDATE', (...args) => this.#update(...args)],
    ['ONAPPUSERREADY', (...args) => this.#userReady(...args)],
    ['ONAPPUNINSTALL', async (inbound, stored) => uninstall(inbound, stored)]
  ])

  constructor (pairs: PairCheck) {
    this.#pairs = pairs
  }

  /** Returns whether an event with this code, in any case, changes an install. */
  isLifecycleEvent (code: string): boolean {
    return this.#byCode.has(code.toUpperCase())
  }

  /** Returns whether an OAuth server must confirm the event. */
  needsVerification (inbound: InboundEvent, stored: StoredInstall | undefined): boolean {
    return pairsOf(inbound, stored).length > 0
  }

  /** Returns a rejection if the event is invalid regardless of what an OAuth server would answer. */
  precheck (inbound: InboundEvent, stored: StoredInstall | undefined): Rejection | undefined {
    for (const tokens of pairsOf(inbound, stored)) {
      const problem = inbound.token === undefined ? 'no_tokens' : this.#pairs.problemOf(inbound.envelope.auth.member_id, tokens)
      if (problem !== undefined) return rejected(problem)
    }
    return undefined
  }

  /** Returns a name for the OAuth servers that must confirm the event; a combination of two has a name of its own. */
  serversOf (inbound: InboundEvent, stored: StoredInstall | undefined): string {
    return [...new Set(pairsOf(inbound, stored).map(tokens => this.#pairs.serverOf(tokens)))].join(' and ')
  }

  /** Returns which stored pair the event contains in its `auth` or `data`; `undefined` for an unknown pair. */
  ownerOf (install: Install | undefined, { envelope }: InboundEvent, location: PairLocation): PairOwner | undefined {
    return this.#pairs.ownerOf(install, envelope[location])
  }

  /**
   * Verifies an event and returns its facts in the order in which they apply.
   *
   * @throws FST_B24_OAUTH_UNAVAILABLE, FST_B24_APP_KEYS, FST_B24_INSTALL_BUSY
   * @throws FST_B24_PORTAL_UNAVAILABLE and other errors of calls if the portal does not return the token's user
   */
  verify (inbound: InboundEvent, stored: StoredInstall | undefined, logs: RefreshLogs = NO_LOGS): Promise<Verification> {
    const verify = this.#byCode.get(inbound.envelope.event.toUpperCase()) as Verify
    return verify(inbound, stored, logs)
  }

  async #install (inbound: InboundEvent, stored: StoredInstall | undefined, logs: RefreshLogs): Promise<Verification> {
    const verified = await this.#verifyInstall(inbound, stored, logs)
    if (verified.status !== 'verified') return verified
    const { ts, version } = readLifecycleData(inbound.envelope)
    return verifiedFacts({ type: 'installed', ts, version, ...verified.install })
  }

  async #update (inbound: InboundEvent, stored: StoredInstall | undefined, logs: RefreshLogs): Promise<Verification> {
    const { ts, version } = readLifecycleData(inbound.envelope)
    if (pairsOf(inbound, stored).length === 0) return verifiedFacts({ type: 'updated', ts, version })
    const verified = await this.#verifyInstall(inbound, stored, logs)
    if (verified.status !== 'verified') return verified
    return verifiedFacts({ type: 'updated', ts, version, verified: verified.install })
  }

  /** The pair in `data` is the system user's, the one in `auth` the installer's. If this event arrives before the install, it serves as one. */
  async #userReady (inbound: InboundEvent, stored: StoredInstall | undefined, logs: RefreshLogs): Promise<Verification> {
    const isKnown = hasCurrentToken(inbound, stored)
    if (isKnown && this.ownerOf(stored?.install, inbound, 'data') !== undefined) return STALE
    const install = isKnown ? undefined : await this.#install(inbound, stored, logs)
    if (install !== undefined && install.status !== 'verified') return install
    const { member_id: memberId } = inbound.envelope.auth
    const source = sourceFor(inbound, stored, logs('data'))
    const checked = await this.#pairs.check(memberId, inbound.envelope.data, source)
    if (checked.status === 'rejected') return checked
    // Whether a system user counts as an admin is not documented, so an admin's pair in `auth` is sufficient too.
    const hasAdmin = install !== undefined || (await this.#pairs.fetchUser(memberId, checked, source)).isAdmin || await this.#hasAdminAuth(inbound, stored, logs)
    if (!hasAdmin) return rejected('not_admin')
    const verified = isKnown && isAlive(stored?.install.systemUser) ? await this.#pairs.refresh(memberId, checked, source) : checked
    if (verified.status === 'rejected') return verified
    const { pair, grant: { isRefreshed } } = verified
    return verifiedFacts(...install?.facts ?? [], { type: 'userReady', ts: readLifecycleData(inbound.envelope).ts, pair, isRefreshed })
  }

  /** Returns whether the pair in `auth` is an admin's. The stored installer's was verified when it came. */
  async #hasAdminAuth (inbound: InboundEvent, stored: StoredInstall | undefined, logs: RefreshLogs): Promise<boolean> {
    const { auth } = inbound.envelope
    if (this.ownerOf(stored?.install, inbound, 'auth') === 'installer') return true
    if (auth.access_token === undefined) return false
    const source = sourceFor(inbound, stored, logs('auth'))
    const checked = await this.#pairs.check(auth.member_id, auth, source)
    return checked.status === 'verified' && (await this.#pairs.fetchUser(auth.member_id, checked, source)).isAdmin
  }

  /**
   * Verifies that the pair in `auth` is valid and an admin's. Otherwise any user of a portal could send an install with an
   * `application_token` of their own.
   */
  async #verifyInstall (
    inbound: InboundEvent, stored: StoredInstall | undefined, logs: RefreshLogs
  ): Promise<{ status: 'verified', install: VerifiedInstall } | Exclude<Verification, { status: 'verified' }>> {
    const { envelope: { auth }, token } = inbound
    if (token === undefined) return rejected('no_tokens')
    const unverified = { tokenDigest: token, ...readLifecycleData(inbound.envelope) }
    if (isOutdated(stored?.install, unverified, Date.now())) return STALE
    // Verification may refresh the pair, which would invalidate a stored one.
    if (this.ownerOf(stored?.install, inbound, 'auth') !== undefined) return hasCurrentToken(inbound, stored) ? STALE : rejected('wrong_token')
    const source = sourceFor(inbound, stored, logs('auth'))
    const checked = await this.#pairs.check(auth.member_id, auth, source)
    if (checked.status === 'rejected') return checked
    if (!(await this.#pairs.fetchUser(auth.member_id, checked, source)).isAdmin) return rejected('not_admin')
    const replaces = replacesPair(stored?.install, unverified, checked.pair.userId, Date.now())
    const verified = replaces ? await this.#pairs.refresh(auth.member_id, checked, source) : checked
    return verified.status === 'rejected' ? verified : { status: 'verified', install: installOf(auth.member_id, token, verified) }
  }
}

function sourceFor (inbound: InboundEvent, stored: StoredInstall | undefined, refreshLog: RefreshLog): CheckSource {
  return { ip: inbound.ip, isVerified: hasKnownToken(inbound, stored), refreshLog }
}

function uninstall (inbound: InboundEvent, stored: StoredInstall | undefined): Verification {
  if (!hasKnownToken(inbound, stored)) return rejected(stored === undefined ? 'unknown_portal' : 'wrong_token')
  return verifiedFacts({ type: 'uninstalled', ts: readLifecycleData(inbound.envelope).ts })
}

/** Returns the parts of an event whose token pairs must be verified; empty for an uninstall. */
function pairsOf (inbound: InboundEvent, stored: StoredInstall | undefined): unknown[] {
  const { auth, data, event } = inbound.envelope
  switch (event.toUpperCase()) {
    case 'ONAPPUSERREADY': return hasCurrentToken(inbound, stored) ? [data] : [data, auth]
    case 'ONAPPINSTALL': return [auth]
    // An update that Bitrix24 could not link to a user contains no pair.
    case 'ONAPPUPDATE': return auth.access_token === undefined && hasCurrentToken(inbound, stored) ? [] : [auth]
    default: return []
  }
}

function verifiedFacts (...facts: InstallFact[]): Verification & { status: 'verified' } {
  return { status: 'verified', facts }
}

export function installOf (memberId: string, tokenDigest: TokenDigest, { grant, pair }: VerifiedPair): VerifiedInstall {
  const { domain, clientEndpoint, oauthServer, scope, status } = grant
  return { memberId, domain, clientEndpoint, oauthServer, scope, status, pair, isRefreshed: grant.isRefreshed, tokenDigest, verifiedAt: Date.now() }
}
