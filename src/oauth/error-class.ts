/**
 * What an error of the OAuth server means for an install:
 * `revoked` the token is unknown, used up or not ours; `expired` the access token's hour is over; `payment_required` the
 * portal must pay first; `uninstalled` the app or the portal is gone; `config` the app's own keys or scope are wrong;
 * `network` nothing is known, ask again later.
 */
export type OAuthErrorClass = 'revoked' | 'expired' | 'payment_required' | 'uninstalled' | 'config' | 'network'

/** An error that the server stated, as its class and its own word for it. */
export interface OAuthRefusal {
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

/**
 * Classes an error by its code, in any case: the HTTP status says little, as some errors come with 200.
 *
 * A code that is not documented is `network`: it proves nothing about a token, and an install that is given up is never sent again.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/settings/oauth/error-codes.md
 */
export function classifyError (error: string): OAuthErrorClass {
  return CLASSES.get(error.toLowerCase()) ?? 'network'
}
