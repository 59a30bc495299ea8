import type { FastifyError } from '@fastify/error'
import type { Suspension } from '../../installs/install.ts'
import { isObject } from '../../is-object.ts'
import { LONGEST_CLOSED_MS } from '../limits/portal-limits.ts'
import { callError, goneError, type PortalCallError, reauthError, type StatedError, suspendedError, unavailableError } from './call-error.ts'

/** What a portal answered to a call. */
export interface PortalAnswer {
  status: number
  /** By their names in small letters. */
  headers?: Readonly<Record<string, string | string[] | undefined>>
  /** What its JSON says; `undefined` when it is none. */
  body: unknown
}

/** What a call is about, as far as its answer is judged by it. */
export interface Judged {
  memberId: string
  domain: string
  method: string
  /** Token that it was made with, for the case that the portal quotes it. */
  accessToken: string
}

/**
 * What to do about an answer: `renew` another token, once; `replace` the user, whom the portal refuses; `suspend` the portal, which
 * refuses the app; `locate` it, as it moved; `wait` because its bucket is full or the method closed; `repeat` what only reads;
 * fail with an error. A remedy that did not help, or may not be used, ends with its error too.
 */
export type Remedy =
  | { type: 'locate' | 'repeat' | 'fail', error: FastifyError }
  | { type: 'renew', error: FastifyError, /** What to do where a new token is refused like that too. */ last?: Remedy & { type: 'replace' } }
  | { type: 'replace', error: PortalCallError }
  | { type: 'suspend', reason: Suspension['reason'], error: PortalCallError }
  | { type: 'wait', code: string, /** How long the method is closed; the bucket of the portal is full when it is missing. */ closedMs?: number }

/** Bitrix24 adds up the time of a method by the minute. */
const CLOSED_MS = 60_000
const SHORTEST_CLOSED_MS = 1_000

/** What a portal without a plan says to whatever is called. */
const NO_REST = /^REST (API )?is available only on commercial plans/i

type Row = (stated: StatedError, call: Judged, body: Record<string, unknown>) => Remedy

const failWith = (error: FastifyError): Remedy => ({ type: 'fail', error })
const renew: Row = ({ code }) => ({ type: 'renew', error: unavailableError(`it answers ${code} to a new token`) })
const repeat: Row = ({ status, code }) => ({ type: 'repeat', error: unavailableError(`status ${status}, ${code}`) })
const unavailable: Row = ({ status, code }) => failWith(unavailableError(`status ${status}, ${code}`))
const replace = (stated: StatedError, { memberId }: Judged): Remedy & { type: 'replace' } => ({ type: 'replace', error: reauthError(memberId, stated) })
const suspend: Row = (stated, { memberId }) => ({ type: 'suspend', reason: 'payment_required', error: suspendedError(memberId, stated) })
const gone: Row = stated => ({ type: 'suspend', reason: 'uninstalled', error: goneError(stated) })

/** The codes that say more than that this call failed, in small letters. Status codes differ between the docs and the product. */
const ROWS: ReadonlyMap<string, Row> = new Map<string, Row>([
  ['expired_token', renew],
  ['invalid_token', renew],
  // The portal does not know the token, which an hour may have ended, or a reinstall.
  ['no_auth_found', (stated, call) => ({ type: 'renew', error: reauthError(call.memberId, stated), last: replace(stated, call) })],
  // Mostly what the user may not, or what one method is too much for the plan.
  ['access_denied', (stated, call, body) => NO_REST.test(stated.description) ? suspend(stated, call, body) : failWith(callError(call.method, stated))],
  ['payment_required', suspend],
  ['application_not_found', gone],
  // One user was dismissed, or may not use the app any more. Their refresh token may be as good as ever.
  ['authorization_error', replace],
  ['user_access_error', replace],
  ['query_limit_exceeded', ({ code }) => ({ type: 'wait', code })],
  ['operation_time_limit', ({ code }, _call, body) => ({ type: 'wait', code, closedMs: closedMs(body) })],
  ['internal_server_error', repeat],
  ['error_unexpected_answer', repeat],
  // The portal could not ask the OAuth server about the token, which is as good as before.
  ['connection_error', unavailable],
  // A site on a server of its own may come back.
  ['portal_deleted', (stated, call, body) => (isCloud(call.domain) || stated.status === 410 ? gone : unavailable)(stated, call, body)]
])

/** Judges an answer; `undefined` when the call succeeded. */
export function judge (answer: PortalAnswer, call: Judged): Remedy | undefined {
  const { status, body } = answer
  if (status >= 300 && status < 400) return { type: 'locate', error: unavailableError(`status ${status}, to an address that the OAuth server does not name`) }
  if (!isObject(body)) return noJson(answer)
  const stated = statedIn(answer.status, body, call)
  if (stated === undefined) return status < 400 ? undefined : failWith(unavailableError(`status ${status}`))
  const row = ROWS.get(stated.code.toLowerCase())
  return row === undefined ? failWith(callError(call.method, stated)) : row(stated, call, body)
}

/** HTML of a portal that is closed, or of what stands before it. */
function noJson ({ status }: PortalAnswer): Remedy {
  if (status === 429) return { type: 'wait', code: 'Too Many Requests' }
  const error = unavailableError(`status ${status}, no JSON object`)
  return status === 500 ? { type: 'repeat', error } : failWith(error)
}

/** REST 3 states its errors as maps. */
function statedIn (status: number, { error, error_description: described }: Record<string, unknown>, { accessToken }: Judged): StatedError | undefined {
  if (error === undefined || error === null || error === '') return undefined
  const [code, description] = isObject(error) ? [error['code'], error['message']] : [error, described]
  const textOf = (value: unknown, most: number): string => String(value ?? '').replaceAll(accessToken, '***').slice(0, most)
  return { status, code: textOf(code, 100), description: textOf(description, 1_000) }
}

function closedMs ({ time }: Record<string, unknown>): number {
  if (!isObject(time)) return CLOSED_MS
  const { operating_reset_at: resetAt, finish } = time
  if (typeof resetAt !== 'number') return CLOSED_MS
  // By the portal's own clock where it tells it.
  const now = typeof finish === 'number' ? finish : Date.now() / 1000
  const ms = Math.ceil((resetAt - now) * 1000)
  // What a portal says is never waited for longer than Bitrix24 would have one wait.
  return Number.isFinite(ms) ? Math.min(Math.max(ms, SHORTEST_CLOSED_MS), LONGEST_CLOSED_MS) : CLOSED_MS
}

function isCloud (domain: string): boolean {
  return /\.bitrix24\.[a-z]{2,3}(\.[a-z]{2})?$/.test(domain)
}
