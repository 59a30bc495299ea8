import type { FastifyError } from '@fastify/error'
import type { Suspension } from '../../installs/install.ts'
import { isObject } from '../../validation.ts'
import {
  callError, goneError, limitError, type PortalCallError, parsePortalError, reauthError, type PortalErrorFields, suspendedError, unavailableError
} from './call-error.ts'
import { type LimitScope, operatingWaitMs } from './observed-limits.ts'

/** What a portal answered to a call. */
export interface PortalResponse {
  status: number
  /** By their names in small letters. */
  headers?: Readonly<Record<string, string | string[] | undefined>>
  /** What its JSON says; `undefined` when it is none. */
  body: unknown
}

/** What is known of the call that was answered. */
export interface AnsweredCall {
  memberId: string
  domain: string
  method: string
  /** Token that it was made with: hidden where the portal quotes it. */
  accessToken: string
  /** Their names stand in errors. */
  params?: object | undefined
}

/**
 * What to do about an answer that is no result:
 * - `error`: the portal refuses this call. It would again.
 * - `renew`: ask again with another token, once; `last` is for a portal that refuses that one too
 * - `replace`: the portal refuses the user of the token
 * - `limit`: wait; `waitMs` is missing where the portal does not say how long
 * - `blocked`: wait until somebody at the portal or at Bitrix24 has acted
 * - `suspended`: the portal refuses the app, or is gone
 * - `redirect`: the portal has another address; `location` is where it points to
 * - `unusable`: no answer of the REST API; what only reads may be called again at once where it is `isTransient`
 */
export type Recovery =
  | { type: 'error', error: PortalCallError }
  | { type: 'renew', error: FastifyError, last?: Recovery & { type: 'replace' | 'error' } }
  | { type: 'replace', error: PortalCallError }
  /** The user of the token may not do it; the portal's other one, installer or system user, may. */
  | { type: 'otherUser', error: FastifyError }
  | { type: 'limit', code: string, scope: LimitScope, waitMs?: number }
  | { type: 'blocked', code: string, scope: LimitScope, waitMs: number }
  | { type: 'suspended', reason: Suspension['reason'], error: PortalCallError }
  | { type: 'redirect', location: string | undefined, error: FastifyError }
  | { type: 'unusable', isTransient: boolean, error: FastifyError }

export type Classified = { type: 'result' } | Recovery

/** How long a block is believed before the portal is asked again, ms: it ends by hand. */
const BLOCKED_MS = 5 * 60_000
const BUSY_MS = 1_000
/** Longest that a portal's word is waited for, ms. */
const MAX_RETRY_AFTER_MS = 600_000
const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308]
const V3 = 'bitrix_rest_v3_exception_'

/** What a portal without a plan says to whatever is called. */
const NO_REST = /^REST (API )?is available only on commercial plans/i

type Row = (stated: PortalErrorFields, call: AnsweredCall, body: Record<string, unknown>) => Recovery

const refused: Row = (stated, { method, params }) => ({ type: 'error', error: callError(method, stated, params) })
const renew: Row = ({ code }) => ({ type: 'renew', error: unavailableError(`it answers ${code} to a new token`) })
const replace = (stated: PortalErrorFields, { memberId }: AnsweredCall): Recovery & { type: 'replace' } => ({ type: 'replace', error: reauthError(memberId, stated) })
const unknownToken: Row = (stated, call) => ({ type: 'renew', error: reauthError(call.memberId, stated), last: replace(stated, call) })
const unpaid: Row = (stated, { memberId }) => ({ type: 'suspended', reason: 'payment_required', error: suspendedError(memberId, stated) })
const gone: Row = stated => ({ type: 'suspended', reason: 'uninstalled', error: goneError(stated) })
const failing = (isTransient: boolean): Row => ({ status, code }) => ({ type: 'unusable', isTransient, error: unavailableError(`status ${status}, ${code}`) })
const otherUser: Row = (stated, { method, params }) => ({ type: 'otherUser', error: callError(method, stated, params) })
const denied: Row = (stated, call, body) => (NO_REST.test(stated.description) ? unpaid : otherUser)(stated, call, body)
const closedMethod: Row = ({ code }, _call, { time }) => ({ type: 'limit', code, scope: 'method', ...waitOf(operatingWaitMs(time)) })
const blocked = (scope: LimitScope): Row => ({ code }) => ({ type: 'blocked', code, scope, waitMs: BLOCKED_MS })

/**
 * The codes that say more than that this call failed, in small letters. Status codes differ between the docs and the product.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/error-codes.md
 */
const ROWS: ReadonlyMap<string, Row> = new Map<string, Row>([
  ['expired_token', renew],
  ['invalid_token', renew],
  // The portal does not know the token, which an hour may have ended, or a reinstall.
  ['no_auth_found', unknownToken],
  // The OAuth server says these of a token, and the portal passes them on.
  ['invalid_grant', unknownToken],
  ['invalid_client', (stated, call) => renewOnce(stated, call)],
  // Mostly what the user may not, or what one method is too much for the plan.
  ['access_denied', denied],
  ['payment_required', unpaid],
  ['application_not_found', gone],
  ['not_installed', gone],
  // One user was dismissed, or may not use the app any more. Their refresh token may be as good as ever.
  ['authorization_error', replace],
  ['user_access_error', replace],
  ['query_limit_exceeded', ({ code }) => ({ type: 'limit', code, scope: 'portal' })],
  ['operation_time_limit', closedMethod],
  ['overload_limit', blocked('portal')],
  ['method_confirm_waiting', blocked('method')],
  ['internal_server_error', failing(true)],
  ['error_unexpected_answer', failing(true)],
  // The portal could not ask the OAuth server about the token, which is as good as before.
  ['connection_error', failing(false)],
  // A site on a server of its own may come back.
  ['portal_deleted', (stated, call, body) => (isCloud(call.domain) || stated.status === 410 ? gone : failing(false))(stated, call, body)],
  [`${V3}accessdeniedexception`, (stated, call, body) => stated.status === 401 ? renewOnce(stated, call) : denied(stated, call, body)],
  [`${V3}licenseexception`, denied],
  [`${V3}ratelimitexception`, closedMethod],
  [`${V3}internal_internalexception`, failing(true)]
])

/** Classifies what a portal answered. */
export function classify (answer: PortalResponse, call: AnsweredCall): Classified {
  const { status, body } = answer
  if (REDIRECTS.includes(status)) {
    const error = unavailableError(`status ${status}, to an address that the OAuth server does not name`)
    return { type: 'redirect', location: headerOf(answer, 'location'), error }
  }
  const stated = isObject(body) ? parsePortalError(status, body, call.accessToken) : undefined
  if (isObject(body) && stated !== undefined) return (ROWS.get(stated.code.toLowerCase()) ?? refused)(stated, call, body)
  if (isObject(body) && status < 300 && 'result' in body) return { type: 'result' }
  return noAnswer(answer)
}

/** The error that a call ends with for which nothing more is done. */
export function errorOf (recovery: Recovery, method: string): FastifyError {
  if ('error' in recovery) return recovery.error
  return limitError(method, recovery.code, recovery.waitMs ?? BUSY_MS)
}

/** The error of one call of a batch: `item` is what stands for it among the errors there. */
export function itemError (item: unknown, call: AnsweredCall): FastifyError {
  const body = isObject(item) && ('error' in item || 'error_description' in item) ? item : { error: item }
  const classified = classify({ status: 200, body }, call)
  return classified.type === 'result' ? unavailableError('neither a result nor an error') : errorOf(classified, call.method)
}

/** A page of a portal that is closed, or of what stands before it. */
function noAnswer (answer: PortalResponse): Recovery {
  const { status, body } = answer
  if (status === 429) return { type: 'limit', code: 'Too Many Requests', ...retryAfter(answer) }
  const what = !isObject(body) ? 'no JSON object' : 'neither a result nor an error'
  return { type: 'unusable', isTransient: status === 500, error: unavailableError(`status ${status}, ${what}`) }
}

/** REST 3 says the same of a token that expired and of what its user may not, the OAuth server the same of a token and of an app. */
function renewOnce (stated: PortalErrorFields, { method, params }: AnsweredCall): Recovery {
  const error = callError(method, stated, params)
  return { type: 'renew', error, last: { type: 'error', error } }
}

function retryAfter (answer: PortalResponse): { scope: LimitScope, waitMs?: number } {
  const seconds = Number(headerOf(answer, 'retry-after') ?? NaN)
  return seconds > 0 ? { scope: 'method', waitMs: Math.min(seconds * 1000, MAX_RETRY_AFTER_MS) } : { scope: 'portal' }
}

function waitOf (waitMs: number | undefined): { waitMs?: number } {
  return waitMs === undefined ? {} : { waitMs }
}

function headerOf ({ headers }: PortalResponse, name: string): string | undefined {
  const value = headers?.[name]
  return Array.isArray(value) ? value[0] : value
}

function isCloud (domain: string): boolean {
  return /\.bitrix24\.[a-z]{2,3}(\.[a-z]{2})?$/.test(domain)
}
