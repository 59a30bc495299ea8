import { verifyToken, verifyUninstallToken } from '../../installs/application-token.ts'
import type { Install, PairOwner, TokenDigest } from '../../installs/install.ts'
import { isAlive, isOutdated, replacesPair } from '../../installs/token-pairs.ts'
import type { StoredInstall } from '../../storage/install-store.ts'
import type { InstallFact, VerifiedInstall } from '../../installs/install-transitions.ts'
import { readLifecycleData } from './lifecycle-data.ts'
import type { CheckSource, PairCheck, TradeLog, VerifiedPair } from './pair-check.ts'
import type { Post } from '../post.ts'
import { rejected, type Rejection } from '../receipt.ts'

export type Proof =
  | { status: 'proved', facts: InstallFact[] }
  /** Known already, or older than what is known. */
  | { status: 'stale' }
  | Rejection

/** Where a token pair stands in a post. */
export type PairPlace = 'auth' | 'data'

/** What is kept of the refreshes of a post. */
export type Trades = (place: PairPlace) => TradeLog

type Prove = (post: Post, stored: StoredInstall | undefined, trades: Trades) => Promise<Proof>

const STALE = { status: 'stale' } as const
/** Where nothing is kept between attempts, as there is only one. */
const NOTHING_KEPT: Trades = () => ({ before: async () => {}, after: async () => {} })

/**
 * What the lifecycle events prove. Each brings its own proof: a pair of an admin that the OAuth server and the portal confirm, or,
 * where the app has no rights any more, the token alone.
 */
export class LifecycleProof {
  readonly #pairs: PairCheck
  readonly #byCode: ReadonlyMap<string, Prove> = new Map<string, Prove>([
    ['ONAPPINSTALL', (...asked) => this.#install(...asked)],
    ['ONAPPUPDATE', (...asked) => this.#update(...asked)],
    ['ONAPPUSERREADY', (...asked) => this.#userReady(...asked)],
    ['ONAPPUNINSTALL', async (post, stored) => uninstall(post, stored)]
  ])

  constructor (pairs: PairCheck) {
    this.#pairs = pairs
  }

  /** Tells whether an event changes an install. */
  knows (code: string): boolean {
    return this.#byCode.has(code)
  }

  /** Tells whether an OAuth server has to be asked before the post is believed. */
  asks (post: Post, stored: StoredInstall | undefined): boolean {
    return pairsOf(post, stored).length > 0
  }

  /** Why a post proves nothing, whatever an OAuth server would say; `undefined` when one has to be asked, or need not be. */
  refuse (post: Post, stored: StoredInstall | undefined): Rejection | undefined {
    for (const tokens of pairsOf(post, stored)) {
      const problem = post.token === undefined ? 'no_tokens' : this.#pairs.problemOf(post.envelope.auth.member_id, tokens)
      if (problem !== undefined) return rejected(problem)
    }
    return undefined
  }

  /** OAuth servers that have to be asked before the post is believed; two of them are one name of their own. */
  serversOf (post: Post, stored: StoredInstall | undefined): string {
    return [...new Set(pairsOf(post, stored).map(tokens => this.#pairs.serverOf(tokens)))].join(' and ')
  }

  /** Whose pair of the record it is that a post brings, in its `auth` or `data`. */
  ownerOf (install: Install | undefined, { envelope }: Post, place: PairPlace): PairOwner | undefined {
    return this.#pairs.ownerOf(install, envelope[place])
  }

  /**
   * What is true after this event, in order.
   *
   * @throws FST_B24_OAUTH_UNAVAILABLE, FST_B24_APP_KEYS, FST_B24_INSTALL_BUSY; FST_B24_PORTAL_UNAVAILABLE and the like when the portal
   * does not say who its user is
   */
  prove (post: Post, stored: StoredInstall | undefined, trades: Trades = NOTHING_KEPT): Promise<Proof> {
    const prove = this.#byCode.get(post.envelope.event.toUpperCase()) as Prove
    return prove(post, stored, trades)
  }

  async #install (post: Post, stored: StoredInstall | undefined, trades: Trades): Promise<Proof> {
    const verified = await this.#verify(post, stored, trades)
    if (verified.status !== 'verified') return verified
    const { ts, version } = readLifecycleData(post.envelope)
    return proved({ type: 'installed', ts, version, ...verified.install })
  }

  async #update (post: Post, stored: StoredInstall | undefined, trades: Trades): Promise<Proof> {
    const { ts, version } = readLifecycleData(post.envelope)
    if (pairsOf(post, stored).length === 0) return proved({ type: 'updated', ts, version })
    const verified = await this.#verify(post, stored, trades)
    if (verified.status !== 'verified') return verified
    return proved({ type: 'updated', ts, version, verified: verified.install })
  }

  /** The pair in `data` is the system user's. The one in `auth` is the installer's: the first word of an install, if this event overtook it. */
  async #userReady (post: Post, stored: StoredInstall | undefined, trades: Trades): Promise<Proof> {
    const isKnown = isProven(post, stored)
    if (isKnown && this.ownerOf(stored?.install, post, 'data') !== undefined) return STALE
    const install = isKnown ? undefined : await this.#install(post, stored, trades)
    if (install !== undefined && install.status !== 'proved') return install
    const { member_id: memberId } = post.envelope.auth
    const source = sourceFor(post, stored, trades('data'))
    const checked = await this.#pairs.check(memberId, post.envelope.data, source)
    if (checked.status === 'rejected') return checked
    // Whether a portal counts its system user among the admins is not documented: the admin beside it will do.
    const isOfAdmin = install !== undefined || (await this.#pairs.ask(memberId, checked, source)).isAdmin || await this.#isAdmins(post, stored, trades)
    if (!isOfAdmin) return rejected('not_admin')
    const verified = isKnown && isAlive(stored?.install.systemUser) ? await this.#pairs.trade(memberId, checked, source) : checked
    if (verified.status === 'rejected') return verified
    const { pair, grant: { isRefreshed } } = verified
    return proved(...install?.facts ?? [], { type: 'userReady', ts: readLifecycleData(post.envelope).ts, pair, isRefreshed })
  }

  /** Whether the pair in `auth` is that of an admin; the installer's, which is kept, was asked for when it came. */
  async #isAdmins (post: Post, stored: StoredInstall | undefined, trades: Trades): Promise<boolean> {
    const { auth } = post.envelope
    if (this.ownerOf(stored?.install, post, 'auth') === 'installer') return true
    if (auth.access_token === undefined) return false
    const source = sourceFor(post, stored, trades('auth'))
    const checked = await this.#pairs.check(auth.member_id, auth, source)
    return checked.status === 'verified' && (await this.#pairs.ask(auth.member_id, checked, source)).isAdmin
  }

  /** Confirms the pair in `auth`, and that it is of an admin: else any user of a portal could post an install with an `application_token` of their own. */
  async #verify (post: Post, stored: StoredInstall | undefined, trades: Trades): Promise<{ status: 'verified', install: VerifiedInstall } | Exclude<Proof, { status: 'proved' }>> {
    const { envelope: { auth }, token } = post
    if (token === undefined) return rejected('no_tokens')
    const claimed = { tokenDigest: token, ...readLifecycleData(post.envelope) }
    if (isOutdated(stored?.install, claimed, Date.now())) return STALE
    // To ask about a pair that is kept may use it up.
    if (this.ownerOf(stored?.install, post, 'auth') !== undefined) return isProven(post, stored) ? STALE : rejected('wrong_token')
    const source = sourceFor(post, stored, trades('auth'))
    const checked = await this.#pairs.check(auth.member_id, auth, source)
    if (checked.status === 'rejected') return checked
    if (!(await this.#pairs.ask(auth.member_id, checked, source)).isAdmin) return rejected('not_admin')
    const replaces = replacesPair(stored?.install, claimed, checked.pair.userId, Date.now())
    const verified = replaces ? await this.#pairs.trade(auth.member_id, checked, source) : checked
    return verified.status === 'rejected' ? verified : { status: 'verified', install: installOf(auth.member_id, token, verified) }
  }
}

function sourceFor (post: Post, stored: StoredInstall | undefined, trades: TradeLog): CheckSource {
  return { ip: post.ip, isProven: wasKnown(post, stored), trades }
}

function uninstall (post: Post, stored: StoredInstall | undefined): Proof {
  if (!wasKnown(post, stored)) return rejected(stored === undefined ? 'unknown_portal' : 'wrong_token')
  return proved({ type: 'uninstalled', ts: readLifecycleData(post.envelope).ts })
}

/** Where the token pairs stand that have to be checked before the post is believed; none for an uninstall. */
function pairsOf (post: Post, stored: StoredInstall | undefined): unknown[] {
  const { auth, data, event } = post.envelope
  switch (event.toUpperCase()) {
    case 'ONAPPUSERREADY': return isProven(post, stored) ? [data] : [data, auth]
    case 'ONAPPINSTALL': return [auth]
    // An update that Bitrix24 could not link to a user brings no pair.
    case 'ONAPPUPDATE': return auth.access_token === undefined && isProven(post, stored) ? [] : [auth]
    default: return []
  }
}

/** Whether the sender has the token of the portal, be it uninstalled: reason enough not to make it wait behind strangers. */
export function wasKnown ({ token }: Post, stored: StoredInstall | undefined): boolean {
  return verifyUninstallToken(stored?.install, token, Date.now())
}

export function isProven ({ token }: Post, stored: StoredInstall | undefined): boolean {
  return verifyToken(stored?.install, token, Date.now())
}

function proved (...facts: InstallFact[]): Proof & { status: 'proved' } {
  return { status: 'proved', facts }
}

export function installOf (memberId: string, tokenDigest: TokenDigest, { grant, pair }: VerifiedPair): VerifiedInstall {
  const { domain, clientEndpoint, oauthServer, scope, status } = grant
  return { memberId, domain, clientEndpoint, oauthServer, scope, status, pair, isRefreshed: grant.isRefreshed, tokenDigest, verifiedAt: Date.now() }
}
