/** SHA-256 of an `application_token`, as base64url (43 characters). The token itself is never stored. */
export type TokenDigest = string

/** An encrypted OAuth token pair (AES-256-GCM, bound to the portal) with the fields that are needed without decryption. */
export interface EncryptedPair {
  encrypted: string
  /** Portal user the pair belongs to. */
  userId?: number
  /** End of the access token, ms since the epoch. */
  expiresAt: number
  /** Number of this pair; see `Install.generation`. @default 0 */
  generation?: number
  /** When it was stored, ms since the epoch. */
  refreshedAt?: number
  /** The OAuth server has rejected its refresh token. */
  isDead?: true
}

/** Owner of a pair: the user who installed the app, or the portal's system user. */
export type PairOwner = 'installer' | 'systemUser'

/** Why a portal is `suspended`, and when to retry. */
export interface Suspension {
  /** `payment_required`: unpaid or expired plan. `uninstalled`: the app or the portal is gone. */
  reason: 'payment_required' | 'uninstalled'
  /** ms since the epoch. */
  retryAt: number
  /** Set if the portal itself rejected a call. The OAuth server may still issue tokens, so only a response of the portal ends it. */
  by?: 'portal'
}

/**
 * - `active`: the app may act on the portal
 * - `suspended`: temporarily not; `active` again once a refresh succeeds, or a call if the portal itself had rejected the app
 * - `reauth_required`: no valid token is left; ended by a verified install, update or system user
 * - `uninstalled`: the portal has removed the app
 */
export type InstallState = 'active' | 'suspended' | 'reauth_required' | 'uninstalled'

/** Bindings of a portal after the last sync. */
export interface KnownSubscription {
  /** Bound URLs, newest first. More than one after a sync that was interrupted before it unbound the old ones. */
  urls: string[]
  /** Digest of the requested events. */
  wanted: string
  /** Codes that the portal refused. */
  refused?: string[]
}

/** Record of a portal that installed the app, one per app and portal. Plain JSON. */
export interface Install {
  /** Stable identity of the portal; unchanged when the portal is renamed. */
  memberId: string
  state: InstallState
  /** Host of the portal, as returned by the OAuth server. */
  domain: string
  /** REST base URL of the portal, as returned by the OAuth server; ends with `/rest/`. */
  clientEndpoint: string
  /** Origin of the OAuth server that verified the install. */
  oauthServer: string
  /** Digest of the token that verifies events. */
  token: TokenDigest
  /** Digest of the token before a rotation, valid until `expiresAt` (ms since the epoch). */
  previousToken?: { digest: TokenDigest, expiresAt: number }
  /** Pair of the user who installed the app. Absent after an uninstall. */
  installer?: EncryptedPair
  /** Pair of the portal's system user (ONAPPUSERREADY), if there is one. */
  systemUser?: EncryptedPair
  /** Number of the portal's newest pair, of either owner. Increases with each pair, so that late responses are recognized. */
  generation?: number
  /** Only in the state `suspended`. */
  suspension?: Suspension
  scope: string[]
  /** `L` local, `F` free, `S` subscription, `D` demo, `T` trial, `P` paid; other values are possible. */
  status?: string
  /** Version of the app that the portal runs. */
  version?: string
  /** Portal time of the newest applied lifecycle event, Unix seconds. */
  ts: number
  /** Portal time of the newest event whose `auth` changed this record, Unix seconds. */
  seenTs?: number
  /** Time of the last install or update through an install page, Unix seconds. */
  pageTs?: number
  /** Subscription after the last sync. Absent if unknown, or from before a reinstall. */
  subscribed?: KnownSubscription
  /** Position in the installer's chat events. */
  chatEvents?: { userId: number, offset?: number }
  /** Family of the portal's plan from `app.info`, such as `ent`. */
  licenseFamily?: string
  /** First verified install, ms since the epoch. */
  installedAt: number
  /** Last change of this record, ms since the epoch. */
  updatedAt: number
}
