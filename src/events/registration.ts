import { hash } from 'node:crypto'
import { FST_B24_INVALID_HANDLER } from '../errors.ts'
import { isObject } from '../validation.ts'
import type { NameOf } from './event-map.ts'
import type { Bitrix24Event } from './event.ts'
import { matchesFilter, type OpenFilter } from './filter.ts'

/** Called with an event and the handler's context; the event counts as handled when it returns or its promise resolves. */
export type EventHandler<Event extends string, Context> = (
  event: Event extends string ? Bitrix24Event<NameOf<Event>> : never, context: Context
) => unknown

export interface HandlerOptions {
  /**
   * `false`: the handler wants each delivery of these events for itself, so that waiting repeats of one item are not made
   * one, for no handler of the event and whatever the filter.
   *
   * @default true
   */
  coalesce?: boolean
  /**
   * Names the handler across restarts and processes: a retry does not run again what has succeeded under this name. 1 to 64
   * letters, digits and `_ . : -`; one handler of an event alone may have it.
   *
   * Left out, the name follows from the event, the filter, and the name and text of the function. So a changed handler runs
   * again. Handlers that are alike in all of these are told apart by their order: give an id to those that are made in a
   * loop, or whose behaviour is in what they close over.
   */
  id?: string
}

/** A handler that is to see events of one code, and what it accepts of them. */
export interface RegisteredHandler<Context> {
  /** The same in all processes of one program; no other registration for the code has it. */
  readonly id: string
  readonly handler: (event: Bitrix24Event, context: Context) => unknown
  readonly accepts: (event: Pick<Bitrix24Event, 'data'>) => boolean
}

/** One call of `on`, for one name; without a code for `onAny`. */
export interface Registration<Context> {
  readonly code: string | undefined
  readonly filter: OpenFilter | undefined
  readonly handler: RegisteredHandler<Context>['handler']
  readonly coalesce: boolean
  /** Given by the app or made for it. */
  readonly id: string
  readonly named: boolean
}

/** One registration for each handler, however many of the hooks are its own: it accepts what any of them does. */
export function groupByHandler<Context> (hooks: Iterable<Registration<Context>>): ReadonlyArray<RegisteredHandler<Context>> {
  const byHandler = new Map<RegisteredHandler<Context>['handler'], Array<Registration<Context>>>()
  for (const hook of hooks) byHandler.set(hook.handler, [...byHandler.get(hook.handler) ?? [], hook])
  return Array.from(byHandler, ([handler, own]) => ({
    // The first stays the first, whatever is registered after it.
    id: (own.find(({ named }) => named) ?? own[0] as Registration<Context>).id,
    handler,
    accepts: ({ data }) => own.some(({ filter }) => filter === undefined || matchesFilter(filter, data))
  }))
}

/** No id that is made has only these. */
const ID = /^[0-9A-Za-z_.:-]{1,64}$/

/**
 * Takes what an app passed as options. An unknown one is refused: it may be a filter in the wrong place.
 *
 * @throws FST_B24_INVALID_HANDLER
 */
export function checkHandlerOptions (options: unknown = {}): HandlerOptions {
  if (!isObject(options)) throw new FST_B24_INVALID_HANDLER('the options of a handler must be an object')
  const { coalesce, id, ...others } = options
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) throw new FST_B24_INVALID_HANDLER(`a handler has no option '${unknown}'; a filter stands before it`)
  if (coalesce !== undefined && typeof coalesce !== 'boolean') throw new FST_B24_INVALID_HANDLER('coalesce must be true or false')
  if (id !== undefined && !(typeof id === 'string' && ID.test(id))) {
    throw new FST_B24_INVALID_HANDLER('the id of a handler must be 1 to 64 letters, digits and _ . : -')
  }
  return options
}

type Handler = (...args: never[]) => unknown

/**
 * Names handlers so that the same program gives the same names in every process. A name stays what it is while hooks come
 * and go: one that another handler took over would let that one count as done.
 */
export class HandlerIds {
  readonly #counts = new Map<string, number>()
  readonly #ids = new WeakMap<Handler, Map<string, string>>()

  /** Id of a handler for events of this code, `undefined` for all. It begins with `~`. */
  idOf (code: string | undefined, filter: OpenFilter | undefined, handler: Handler): string {
    const text = Function.prototype.toString.call(handler)
    const digest = hash('sha256', JSON.stringify([code ?? null, filter ?? null, handler.name, text]), 'base64url').slice(0, 16)
    const own = this.#ids.get(handler) ?? new Map<string, string>()
    const id = own.get(digest) ?? this.#next(digest)
    this.#ids.set(handler, own.set(digest, id))
    return id
  }

  #next (digest: string): string {
    const count = (this.#counts.get(digest) ?? 0) + 1
    this.#counts.set(digest, count)
    return count === 1 ? `~${digest}` : `~${digest}.${count}`
  }
}
