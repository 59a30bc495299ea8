/** SHA-256 of an `application_token`, as base64url (43 characters). The token itself is never kept. */
export type TokenDigest = string

/** An OAuth pair that only the plugin can open (AES-256-GCM, bound to the portal), beside what must be read without opening it. */
export interface SealedPair {
  sealed: string
  /** Portal user the pair belongs to. */
  userId?: number
  /** End of the access token, ms since the epoch. */
  expiresAt: number
  /** The number that this pair got when it was kept; see `Install.generation`. Absent: 0. */
  generation?: number
  /** When it was kept, ms since the epoch. */
  refreshedAt?: number
  /** The OAuth server takes its refresh token no more. */
  isDead?: true
}

/** Whose pair it is: that of who installed, or that of the portal's system user. */
export type PairOwner = 'installer' | 'systemUser'

/** Why a portal is `suspended`, and when it may be tried again. */
export interface Suspension {
  /** `payment_required`: the portal must pay first. `uninstalled`: the app or the portal is gone. */
  reason: 'payment_required' | 'uninstalled'
  /** ms since the epoch. */
  retryAt: number
  /** Set where the portal itself says so, whose OAuth server may well make tokens: then only an answer of the portal ends it. */
  by?: 'portal'
}

/**
 * - `active`: the app may act on the portal
 * - `suspended`: not now; it is `active` again as soon as a refresh succeeds, or a call where the portal itself had refused the app
 * - `reauth_required`: no token is good any more; a verified install, update or system user ends it
 * - `uninstalled`: the portal said so
 */
export type InstallState = 'active' | 'suspended' | 'reauth_required' | 'uninstalled'

/** The bindings of a portal, as the last sync left them. */
export interface KnownSubscription {
  /** Addresses that something may be bound to, the newest first. More than one: a sync that was to unbind the others did not end. */
  urls: string[]
  /** Digest of the events that were wanted. */
  wanted: string
  /** Codes that the portal refused. */
  refused?: string[]
}

/** What is known of one portal that installed the app. One record per (app, portal); plain JSON. */
export interface Install {
  /** Bitrix24's stable identity of the portal; survives renames. */
  memberId: string
  state: InstallState
  /** Host of the portal, as the OAuth server names it. */
  domain: string
  /** REST base of the portal, ends with `/rest/`; as the OAuth server names it. */
  clientEndpoint: string
  /** Origin of the OAuth server that vouched for the install. */
  oauthServer: string
  /** Digest of the token that proves events. */
  token: TokenDigest
  /** Digest of the token before a rotation, good until `expiresAt` (ms since the epoch). */
  previousToken?: { digest: TokenDigest, expiresAt: number }
  /** Pair of the user who installed. Absent once uninstalled. */
  installer?: SealedPair
  /** Pair of the portal's system user (ONAPPUSERREADY), where there is one. */
  systemUser?: SealedPair
  /** Number of the newest pair of this portal, whosever it is: one more at each, and never less, so that a late answer is known as one. */
  generation?: number
  /** Only where the state is `suspended`. */
  suspension?: Suspension
  scope: string[]
  /** `L` local, `F` free, `S` subscription, `D` demo, `T` trial, `P` paid; others may come. */
  status?: string
  /** Version of the app that the portal runs. */
  version?: string
  /** Portal's time of the newest lifecycle event that was applied, Unix seconds. */
  ts: number
  /** Portal's time of the newest event whose `auth` changed this record, Unix seconds. */
  seenTs?: number
  /** When an install page last told of an install or an update, Unix seconds. */
  pageTs?: number
  /** What the portal was last subscribed to. Absent: nothing is known of it, or another install was. */
  subscribed?: KnownSubscription
  /** Where the fetching of the installer's chat events stands. */
  chatEvents?: { userId: number, offset?: number }
  /** Family of the portal's plan as its `app.info` names it, such as `ent`. */
  licenseFamily?: string
  /** First verified install, ms since the epoch. */
  installedAt: number
  /** Last change of this record, ms since the epoch. */
  updatedAt: number
}
