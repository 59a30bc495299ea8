import type { Cause } from '../portal/event-bus.ts'
import type { QueueName } from '../portal/event-queues.ts'
import type { RestPortal } from '../portal/rest-portal.ts'
import type { Row } from '../portal/row-query.ts'
import type { SimulatedUser } from '../portal/users.ts'
import type { SimulatedPair } from '../tokens.ts'

/** Result of a method. */
export interface CallOutcome {
  result: unknown
  total?: number
  /** `start` of the next page. */
  next?: number
}

/** One REST method. */
export interface RestMethod {
  /** Required permission of the app, or a list of sufficient ones. */
  scope?: string | readonly string[]
  run: (call: RestCall) => CallOutcome | Promise<CallOutcome>
}

export type MethodTable = Readonly<Record<string, RestMethod>>

/** An authorized call. Parameter names are case-insensitive, values may be text. */
export class RestCall {
  readonly portal: RestPortal
  readonly pair: SimulatedPair
  readonly params: Row
  readonly #byName: ReadonlyMap<string, unknown>

  constructor (portal: RestPortal, pair: SimulatedPair, params: Row) {
    this.portal = portal
    this.pair = pair
    this.params = params
    this.#byName = new Map(Object.entries(params).map(([name, value]) => [name.toLowerCase(), value]))
  }

  get user (): SimulatedUser {
    return this.portal.user(this.pair.userId)
  }

  /** Cause of the events of this call. */
  get cause (): Cause {
    return { userId: this.pair.userId, ...this.queueName }
  }

  /** Offline queue of the call. */
  get queueName (): QueueName {
    return { clientId: this.pair.clientId, connector: this.text('auth_connector') ?? '' }
  }

  /** @param name in small letters */
  value (name: string): unknown {
    return this.#byName.get(name)
  }

  text (name: string): string | undefined {
    const value = this.#byName.get(name)
    return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : undefined
  }

  /** @throws RestError if missing or empty */
  needText (name: string): string {
    const value = this.text(name)
    if (value === undefined || value === '') throw wrongArgument(name)
    return value
  }

  /** Returns an integer; invalid values become 0, as in PHP. */
  integer (name: string): number | undefined {
    const value = this.text(name)
    return value === undefined ? undefined : Math.trunc(Number(value)) || 0
  }

  map (name: string): Row {
    const value = this.#byName.get(name)
    return isRow(value) ? { ...value } : {}
  }

  /** @throws RestError if present and not a list */
  list (name: string): string[] {
    const value = this.#byName.get(name) ?? []
    if (typeof value !== 'object') throw wrongArgument(name, 'must be of type array')
    return Object.values(value as object).map(String)
  }

  /** @throws RestError */
  needAdmin (): void {
    if (!this.user.admin) throw accessDenied()
  }
}

/** Converts to a boolean like PHP: `'0'` and an empty list are false, `'false'` is true. */
export function isTruthy (value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0
  return Boolean(value) && value !== '0'
}

/** Returns whether an app has one of the required permissions. */
export function isInScope (needed: string | readonly string[] | undefined, scope: readonly string[]): boolean {
  return needed === undefined || [needed].flat().some(one => scope.includes(one))
}

function isRow (value: unknown): value is Row {
  return typeof value === 'object' && value !== null
}

/** An error response of a portal's REST. */
export class RestError extends Error {
  readonly status: number
  readonly code: string
  /** Other keys of the response; at REST 3, of `error`. */
  readonly more: Readonly<Record<string, unknown>>

  /**
   * @param status HTTP status
   * @param code `error`, often empty at Bitrix24; at REST 3 `error.code`
   * @param description `error_description`; at REST 3 `error.message`
   * @param more other keys, such as `{ validation: [{ field: 'id', message: '…' }] }` at REST 3
   */
  constructor (status: number, code: string, description: string, more: Readonly<Record<string, unknown>> = {}) {
    super(description)
    this.status = status
    this.code = code
    this.more = more
  }

  /** Response body of classic REST, alone or inside a batch. */
  get body (): object {
    return { error: this.code, error_description: this.message, ...this.more }
  }
}

/** Creates Bitrix24's error for a missing or invalid parameter. */
export function wrongArgument (name: string, problem = 'is null or empty'): RestError {
  return new RestError(400, 'ERROR_ARGUMENT', `Argument '${name.toUpperCase()}' ${problem}`)
}

/** Creates Bitrix24's error for a user without permission. */
export function accessDenied (): RestError {
  return new RestError(403, 'ACCESS_DENIED', 'Access denied!')
}
