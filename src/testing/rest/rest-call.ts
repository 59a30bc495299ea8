import type { Cause } from '../portal/event-bus.ts'
import type { QueueName } from '../portal/event-queues.ts'
import type { RestPortal } from '../portal/rest-portal.ts'
import type { Row } from '../portal/row-query.ts'
import type { SimulatedUser } from '../portal/users.ts'
import type { SimulatedPair } from '../tokens.ts'

/** What a method answers. */
export interface CallOutcome {
  result: unknown
  total?: number
  /** `start` of the next page. */
  next?: number
}

/** One REST method. */
export interface RestMethod {
  /** Permission of the app that it needs, or several of which each is enough. */
  scope?: string | readonly string[]
  run: (call: RestCall) => CallOutcome | Promise<CallOutcome>
}

export type MethodTable = Readonly<Record<string, RestMethod>>

/** A call whose token is good: who calls, and the parameters, whose names have no case and whose values may be text. */
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

  /** Who causes what this call changes. */
  get cause (): Cause {
    return { userId: this.pair.userId, ...this.queueName }
  }

  /** The offline queue that the call is about. */
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

  /** @throws RestError when it is missing or empty */
  needText (name: string): string {
    const value = this.text(name)
    if (value === undefined || value === '') throw wrongArgument(name)
    return value
  }

  /** A whole number; what is none counts as 0, as in PHP. */
  integer (name: string): number | undefined {
    const value = this.text(name)
    return value === undefined ? undefined : Math.trunc(Number(value)) || 0
  }

  map (name: string): Row {
    const value = this.#byName.get(name)
    return isRow(value) ? { ...value } : {}
  }

  /** @throws RestError when it is there and no list */
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

/** As PHP takes a value for a condition: `'0'` and an empty list are false, `'false'` is true. */
export function isTruthy (value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0
  return Boolean(value) && value !== '0'
}

/** Returns whether an app with these permissions has one of the needed. */
export function isInScope (needed: string | readonly string[] | undefined, scope: readonly string[]): boolean {
  return needed === undefined || [needed].flat().some(one => scope.includes(one))
}

function isRow (value: unknown): value is Row {
  return typeof value === 'object' && value !== null
}

/** A refusal of the REST side, as the portal words it. */
export class RestError extends Error {
  readonly status: number
  readonly code: string
  /** Further keys of the answer: at REST 3, those of `error`. */
  readonly more: Readonly<Record<string, unknown>>

  /**
   * @param status HTTP status of the answer
   * @param code its `error`, which Bitrix24 often leaves empty; at REST 3 its `error.code`
   * @param description its `error_description`; at REST 3 its `error.message`
   * @param more further keys of the answer, such as `{ validation: [{ field: 'id', message: '…' }] }` at REST 3
   */
  constructor (status: number, code: string, description: string, more: Readonly<Record<string, unknown>> = {}) {
    super(description)
    this.status = status
    this.code = code
    this.more = more
  }

  /** The answer of classic REST, alone or inside of a batch. */
  get body (): object {
    return { error: this.code, error_description: this.message, ...this.more }
  }
}

/** What Bitrix24 says of a parameter that is missing or of the wrong kind. */
export function wrongArgument (name: string, problem = 'is null or empty'): RestError {
  return new RestError(400, 'ERROR_ARGUMENT', `Argument '${name.toUpperCase()}' ${problem}`)
}

/** What Bitrix24 says to a user without rights. */
export function accessDenied (): RestError {
  return new RestError(403, 'ACCESS_DENIED', 'Access denied!')
}
