import { isObject } from '../validation.ts'
import { type OAuthResponse, unavailable } from './request.ts'

/**
 * What an OAuth error means for an install:
 * - `revoked`: the token is unknown, used up or of another app
 * - `expired`: the access token expired
 * - `payment_required`: the portal's plan is unpaid
 * - `uninstalled`: the app or the portal is gone
 * - `config`: the app's credentials or scope are wrong
 * - `network`: nothing is known, retry later
 */
export type OAuthErrorClass = 'revoked' | 'expired' | 'payment_required' | 'uninstalled' | 'config' | 'network'

export interface OAuthErrorResponse {
  status: 'refused'
  errorClass: Exclude<OAuthErrorClass, 'network'>
  /** Bitrix24's error code in lower case, such as `invalid_grant`. */
  error: string
}

const CLASSES = new Map<string, Exclude<OAuthErrorClass, 'network'>>([
  ['invalid_grant', 'revoked'],
  ['bad_verification_code', 'revoked'],
  ['no_auth_found', 'revoked'],
  ['invalid_token', 'revoked'],
  ['expired_token', 'expired'],
  ['payment_required', 'payment_required'],
  ['not_installed', 'uninstalled'],
  ['portal_deleted', 'uninstalled'],
  ['wrong_client', 'config'],
  ['invalid_client', 'config'],
  ['invalid_request', 'config'],
  ['invalid_scope', 'config'],
  ['insufficient_scope', 'config'],
  ['unauthorized_client', 'config'],
  ['unsupported_grant_type', 'config']
])

const DEFAULT_LIFETIME_MS = 3_600_000
const MAX_LIFETIME_S = 30 * 24 * 60 * 60

/**
 * Classifies an error code, in any case. Ignores the HTTP status: some errors come with 200. An undocumented code is `network`: it proves
 * nothing about a token, and an install that is given up is never sent again.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/settings/oauth/error-codes.md
 */
export function classifyError (error: string): OAuthErrorClass {
  return CLASSES.get(error.toLowerCase()) ?? 'network'
}

/**
 * Parses the error of a response; `undefined` when it has none.
 *
 * @throws FST_B24_OAUTH_UNAVAILABLE when the error says nothing about the token
 */
export function parseError ({ status, body }: OAuthResponse): OAuthErrorResponse | undefined {
  const field = body['error']
  if (field === undefined || field === null) return undefined
  // The REST API of portals writes errors as objects too.
  const code = isObject(field) ? field['code'] : field
  const error = typeof code === 'string' ? code.toLowerCase() : ''
  const errorClass = classifyError(error)
  if (errorClass === 'network') throw unavailable(`status ${status}, ${printable(error)}`)
  return { status: 'refused', errorClass, error }
}

/** Creates the error for a response without an error that still lacks a documented field. */
export function unexpectedResponse ({ status }: OAuthResponse, missing: string): Error {
  return unavailable(`status ${status}, no usable ${missing}`)
}

/** Returns a non-empty string, else `undefined`. */
export function parseText (value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** Parses a scope: `crm,task`, `crm, task` or `crm task`. Drops `app`, which older systems write and which names no permission. */
export function parseScope (value: unknown): string[] {
  return typeof value === 'string' ? value.split(/[\s,]+/).filter(name => name !== '' && name !== 'app') : []
}

/** Converts `expires_in`, seconds as a number or as digits, to milliseconds; one hour when it is malformed or out of range. */
export function lifetimeMsOf (expiresIn: unknown): number {
  const seconds = typeof expiresIn === 'string' && /^\d{1,9}$/.test(expiresIn) ? Number(expiresIn) : expiresIn
  return typeof seconds === 'number' && seconds > 0 && seconds <= MAX_LIFETIME_S ? seconds * 1000 : DEFAULT_LIFETIME_MS
}

/** Parses a user id, a number or digits. */
export function parseUserId (value: unknown): number | undefined {
  const digits = typeof value === 'number' ? String(value) : value
  return typeof digits === 'string' && /^\d{1,15}$/.test(digits) ? Number(digits) : undefined
}

/** Parses the REST base of a portal: an http(s) URL that ends with `/rest/`, without user, query or fragment. */
export function parseEndpoint (value: unknown): URL | undefined {
  if (typeof value !== 'string' || !URL.canParse(value)) return undefined
  const url = new URL(value)
  const bare = `${url.protocol}//${url.host}${url.pathname}`
  return /^https?:\/\/.*\/rest\/$/.test(bare) && bare === url.href ? url : undefined
}

function printable (error: string): string {
  return /^[a-z_]{1,32}$/.test(error) ? error : 'an error of another form'
}
