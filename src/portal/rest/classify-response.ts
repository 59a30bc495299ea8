import type { FastifyError } from '@fastify/error'
import type { Suspension } from '../../installs/install.ts'
import { isObject } from '../../validation.ts'
import {
  callError, goneError, limitError, type PortalCallError, parsePortalError, reauthError, type PortalErrorFields, suspendedError, unavailableError
} from './call-error.ts'
import { type LimitScope, operatingWaitMs } from './observed-limits.ts'

export interface PortalResponse {
  status: number
  /** Keyed by lower-case name. */
  headers?: Readonly<Record<string, string | string[] | undefined>>
  /** Parsed JSON; `undefined` if the body is not JSON. */
  body: unknown
}

/** The call a response belongs to. */
export interface AnsweredCall {
  memberId: string
  domain: string
  method: string
  /** Token of the call, redacted where the portal quotes it. */
  accessToken: string
  /** Their names appear in errors. */
  params?: object | undefined
}

/**
 * How to handle a response without a result:
 * - `error`: permanent error of this call
 * - `renew`: retry once with a newer token; `last` applies if the portal refuses that one too
 * - `replace`: the portal refused the token's user; use the other user's token
 * - `otherUser`: the token's user lacks permission; the other user (installer or system user) may have it
 * - `limit`: wait and retry; `waitMs` is absent if the portal does not say how long
 * - `blocked`: wait until an administrator or Bitrix24 acts
 * - `suspended`: the portal denies access to the app, or is gone
 * - `redirect`: the portal moved to `location`
 * - `unusable`: not a REST response; reads may be retried at once if `isTransient`
 */
export type Recovery =
  | { type: 'error', error: PortalCallError }
  | { type: 'renew', error: FastifyError, last?: Recovery & { type: 'replace' | 'error' } }
  | { type: 'replace', error: PortalCallError }
  | { type: 'otherUser', error: FastifyError }
  | { type: 'limit', code: string, scope: LimitScope, waitMs?: number }
  | { type: 'blocked', code: string, scope: LimitScope, waitMs: number }
  | { type: 'suspended', reason: Suspension['reason'], error: PortalCallError }
  | { type: 'redirect', location: string | undefined, error: FastifyError }
  | { type: 'unusable', isTransient: boolean, error: FastifyError }

export type Classified = { type: 'result' } | Recovery

/** How long before a blocked portal is retried, in milliseconds: blocks are lifted manually. */
const BLOCKED_MS = 5 * 60_000
const BUSY_MS = 1_000
/** Upper limit for `Retry-After`, in milliseconds. */
const MAX_RETRY_AFTER_MS = 600_000
const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308]
const V3 = 'bitrix_rest_v3_exception_'

/** Description with which a portal without a paid plan rejects every call. */
const NO_REST = /^REST (API )?is available only on commercial plans/i

type Rule = (fields: PortalErrorFields, call: AnsweredCall, body: Record<string, unknown>) => Recovery

const refused: Rule = (fields, { method, params }) => ({ type: 'error', error: callError(method, fields, params) })
const renew: Rule = ({ code }) => ({ type: 'renew', error: unavailableError(`portal returned ${code} to a new token`) })
const replace = (fields: PortalErrorFields, { memberId }: AnsweredCall): Recovery & { type: 'replace' } => ({ type: 'replace', error: reauthError(memberId, fields) })
const unknownToken: Rule = (fields, call) => ({ type: 'renew', error: reauthError(call.memberId, fields), last: replace(fields, call) })
const unpaid: Rule = (fields, { memberId }) => ({ type: 'suspended', reason: 'payment_required', error: suspendedError(memberId, fields) })
const gone: Rule = fields => ({ type: 'suspended', reason: 'uninstalled', error: goneError(fields) })
const failing = (isTransient: boolean): Rule => ({ status, code }) => ({ type: 'unusable', isTransient, error: unavailableError(`status ${status}, ${code}`) })
const otherUser: Rule = (fields, { method, params }) => ({ type: 'otherUser', error: callError(method, fields, params) })
const denied: Rule = (fields, call, body) => (NO_REST.test(fields.description) ? unpaid : otherUser)(fields, call, body)
const closedMethod: Rule = ({ code }, _call, { time }) => ({ type: 'limit', code, scope: 'method', ...withWait(operatingWaitMs(time)) })
const blocked = (scope: LimitScope): Rule => ({ code }) => ({ type: 'blocked', code, scope, waitMs: BLOCKED_MS })

/**
 * Error codes, in lower case, that mean more than a failed call. Keyed by code because status codes differ between docs and product.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/error-codes.md
 */
const RULES: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ['expired_token', renew],
  ['invalid_token', renew],
  // Unknown token: expired, or invalidated by a reinstall.
  ['no_auth_found', unknownToken],
  // OAuth errors passed on by the portal.
  ['invalid_grant', unknownToken],
  ['invalid_client', (fields, call) => renewOnce(fields, call)],
  // Usually missing permissions of the user, or a method beyond the plan.
  ['access_denied', denied],
  ['payment_required', unpaid],
  ['application_not_found', gone],
  ['not_installed', gone],
  // The user was dismissed or lost access to the app. Their refresh token may still work.
  ['authorization_error', replace],
  ['user_access_error', replace],
  ['query_limit_exceeded', ({ code }) => ({ type: 'limit', code, scope: 'portal' })],
  ['operation_time_limit', closedMethod],
  ['overload_limit', blocked('portal')],
  ['method_confirm_waiting', blocked('method')],
  ['internal_server_error', failing(true)],
  ['error_unexpected_answer', failing(true)],
  // The portal could not reach the OAuth server; the token is still valid.
  ['connection_error', failing(false)],
  // A self-hosted portal may come back.
  ['portal_deleted', (fields, call, body) => (isCloud(call.domain) || fields.status === 410 ? gone : failing(false))(fields, call, body)],
  [`${V3}accessdeniedexception`, (fields, call, body) => fields.status === 401 ? renewOnce(fields, call) : denied(fields, call, body)],
  [`${V3}licenseexception`, denied],
  [`${V3}ratelimitexception`, closedMethod],
  [`${V3}internal_internalexception`, failing(true)]
])

export function classify (answer: PortalResponse, call: AnsweredCall): Classified {
  const { status, body } = answer
  if (REDIRECTS.includes(status)) {
    const error = unavailableError(`status ${status}, to an address the OAuth server does not confirm`)
    return { type: 'redirect', location: headerOf(answer, 'location'), error }
  }
  const fields = isObject(body) ? parsePortalError(status, body, call.accessToken) : undefined
  if (isObject(body) && fields !== undefined) return (RULES.get(fields.code.toLowerCase()) ?? refused)(fields, call, body)
  if (isObject(body) && status < 300 && 'result' in body) return { type: 'result' }
  return classifyWithoutError(answer)
}

/** Returns the error of a call that is not retried. */
export function errorOf (recovery: Recovery, method: string): FastifyError {
  if ('error' in recovery) return recovery.error
  return limitError(method, recovery.code, recovery.waitMs ?? BUSY_MS)
}

/** Returns the error of one call of a batch; `item` is its entry in `result_error`. */
export function itemError (item: unknown, call: AnsweredCall): FastifyError {
  const body = isObject(item) && ('error' in item || 'error_description' in item) ? item : { error: item }
  const classified = classify({ status: 200, body }, call)
  return classified.type === 'result' ? unavailableError('neither a result nor an error') : errorOf(classified, call.method)
}

/** Handles responses of proxies, and of portals that are closed. */
function classifyWithoutError (answer: PortalResponse): Recovery {
  const { status, body } = answer
  if (status === 429) return { type: 'limit', code: 'Too Many Requests', ...retryAfter(answer) }
  const what = !isObject(body) ? 'no JSON object' : 'neither a result nor an error'
  return { type: 'unusable', isTransient: status === 500, error: unavailableError(`status ${status}, ${what}`) }
}

/** For codes that may mean an expired token as well as a permanent error (REST 3 permissions, OAuth client errors). */
function renewOnce (fields: PortalErrorFields, { method, params }: AnsweredCall): Recovery {
  const error = callError(method, fields, params)
  return { type: 'renew', error, last: { type: 'error', error } }
}

function retryAfter (answer: PortalResponse): { scope: LimitScope, waitMs?: number } {
  const seconds = Number(headerOf(answer, 'retry-after') ?? NaN)
  return seconds > 0 ? { scope: 'method', waitMs: Math.min(seconds * 1000, MAX_RETRY_AFTER_MS) } : { scope: 'portal' }
}

function withWait (waitMs: number | undefined): { waitMs?: number } {
  return waitMs === undefined ? {} : { waitMs }
}

function headerOf ({ headers }: PortalResponse, name: string): string | undefined {
  const value = headers?.[name]
  return Array.isArray(value) ? value[0] : value
}

function isCloud (domain: string): boolean {
  return /\.bitrix24\.[a-z]{2,3}(\.[a-z]{2})?$/.test(domain)
}
