import { provesToken, provesUninstall } from '../../installs/application-token.ts'
import type { TokenDigest } from '../../installs/install.ts'
import type { StoredInstall } from '../../installs/store.ts'
import type { InstallFact, VerifiedInstall } from '../../installs/transitions.ts'
import { readLifecycleData } from './lifecycle-data.ts'
import type { BeforeRefresh, PairCheck, VerifiedPair } from './pair-check.ts'
import type { Post } from '../post.ts'
import { rejected, type Rejection } from '../receipt.ts'

export type Proof = { status: 'proved', facts: InstallFact[] } | Rejection

type Prove = (post: Post, stored: StoredInstall | undefined, beforeRefresh?: BeforeRefresh) => Promise<Proof>

/**
 * What the lifecycle events prove. Each brings its own proof: a pair that the OAuth server confirms, or, where the app has
 * no rights any more, the token alone.
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
      const problem = post.token === undefined ? 'no_tokens' : this.#pairs.problemOf(tokens)
      if (problem !== undefined) return rejected(problem)
    }
    return undefined
  }

  /**
   * What is true after this event, in order.
   *
   * @param beforeRefresh awaited before a pair that has expired is traded for a new one
   * @throws FST_B24_OAUTH_UNAVAILABLE, FST_B24_INSTALL_BUSY
   */
  prove (post: Post, stored: StoredInstall | undefined, beforeRefresh?: BeforeRefresh): Promise<Proof> {
    const prove = this.#byCode.get(post.envelope.event.toUpperCase()) as Prove
    return prove(post, stored, beforeRefresh)
  }

  async #install (post: Post, stored: StoredInstall | undefined, beforeRefresh?: BeforeRefresh): Promise<Proof> {
    const verified = await this.#verify(post, stored, beforeRefresh)
    if (verified.status === 'rejected') return verified
    const { ts, version } = readLifecycleData(post.envelope)
    return proved({ type: 'installed', ts, version, ...verified.install })
  }

  async #update (post: Post, stored: StoredInstall | undefined, beforeRefresh?: BeforeRefresh): Promise<Proof> {
    const { ts, version } = readLifecycleData(post.envelope)
    if (pairsOf(post, stored).length === 0) return proved({ type: 'updated', ts, version })
    const verified = await this.#verify(post, stored, beforeRefresh)
    if (verified.status === 'rejected') return verified
    return proved({ type: 'updated', ts, version, verified: verified.install })
  }

  /** The pair in `data` is the system user's. The one in `auth` is the installer's: the first word of an install, if this event overtook it. */
  async #userReady (post: Post, stored: StoredInstall | undefined, beforeRefresh?: BeforeRefresh): Promise<Proof> {
    const { envelope, ip } = post
    const verified = await this.#pairs.check(envelope.auth.member_id, envelope.data, { ip, isProven: wasKnown(post, stored), beforeRefresh })
    if (verified.status === 'rejected') return verified
    const userReady: InstallFact = { type: 'userReady', ts: readLifecycleData(envelope).ts, pair: verified.pair }
    if (isProven(post, stored)) return proved(userReady)
    const install = await this.#install(post, stored, beforeRefresh)
    return install.status === 'rejected' ? install : proved(...install.facts, userReady)
  }

  async #verify (post: Post, stored: StoredInstall | undefined, beforeRefresh: BeforeRefresh | undefined): Promise<{ status: 'verified', install: VerifiedInstall } | Rejection> {
    const { envelope: { auth }, token, ip } = post
    if (token === undefined) return rejected('no_tokens')
    const verified = await this.#pairs.check(auth.member_id, auth, { ip, isProven: wasKnown(post, stored), beforeRefresh })
    if (verified.status === 'rejected') return verified
    return { status: 'verified', install: installOf(auth.member_id, token, verified) }
  }
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
  return provesUninstall(stored?.install, token, Date.now())
}

export function isProven ({ token }: Post, stored: StoredInstall | undefined): boolean {
  return provesToken(stored?.install, token, Date.now())
}

function proved (...facts: InstallFact[]): Proof & { status: 'proved' } {
  return { status: 'proved', facts }
}

export function installOf (memberId: string, tokenDigest: TokenDigest, { grant, pair }: VerifiedPair): VerifiedInstall {
  const { domain, clientEndpoint, oauthServer, scope, status } = grant
  return { memberId, domain, clientEndpoint, oauthServer, scope, status, pair, tokenDigest, provedAt: Date.now() }
}
