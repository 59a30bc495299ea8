import { hash } from 'node:crypto'
import { FST_B24_INVALID_HANDLER } from '../errors.ts'
import { isObject } from '../validation.ts'
import type { NameOf } from './event-map.ts'
import type { Bitrix24Event } from './event.ts'
import { matchesFilter, type OpenFilter } from './filter.ts'

/** Called with an event and the handler's context. The event counts as handled once it returns or its promise resolves. */
export type EventHandler<Event extends string, Context> = (
  event: Event extends string ? Bitrix24Event<NameOf<Event>> : never, context: Context
) => unknown

/** `Event`: names of the events that the handler is for. */
export interface HandlerOptions<Event extends string = string> {
  /**
   * `false`: the handler needs each delivery of these events, so waiting repeats of one item are not merged. Applies to all handlers
   * of the event, regardless of filters.
   *
   * @default true
   */
  coalesce?: boolean
  /**
   * Events of one key of a portal are handled one at a time, in the order in which they came, whatever handlers they have. For events that are about no
   * item: those of an item, such as a deal or the dialog of a chat, have it for their key. The key is a string of 1 to 256 characters; without one
   * (`undefined`), or where the function throws, the event waits for no other. Handlers of one event have one and the same function.
   */
  key?: (event: Event extends string ? Bitrix24Event<NameOf<Event>> : never) => string | undefined
  /**
   * Identifies the handler across restarts and processes: a retry skips handlers that succeeded under this id. 1 to 64 letters, digits
   * and `_ . : -`, unique among the handlers of an event.
   *
   * The default is derived from the event, the filter, and the name and source text of the function, so a changed handler runs again.
   * Identical handlers are distinguished by their order: set an id for handlers created in a loop, or whose behavior depends on
   * variables of a closure.
   */
  id?: string
}

/** A handler of events with one code, and the filter it accepts them by. */
export interface RegisteredHandler<Context> {
  /** The same in all processes of one program, unique for the code. */
  readonly id: string
  readonly handler: (event: Bitrix24Event, context: Context) => unknown
  readonly accepts: (event: Pick<Bitrix24Event, 'data'>) => boolean
}

/** One call of `on` for one name, or of `onAny`, which has no code. */
export interface Registration<Context> {
  readonly code: string | undefined
  readonly filter: OpenFilter | undefined
  readonly handler: RegisteredHandler<Context>['handler']
  readonly coalesce: boolean
  /** Set by the app or generated. */
  readonly id: string
  /** The app has set `id`. */
  readonly named: boolean
  readonly key: HandlerOptions['key']
}

/** Merges the registrations of each handler into one, which accepts whatever any of them accepts. */
export function groupByHandler<Context> (registrations: Iterable<Registration<Context>>): ReadonlyArray<RegisteredHandler<Context>> {
  const byHandler = new Map<RegisteredHandler<Context>['handler'], Array<Registration<Context>>>()
  for (const registration of registrations) byHandler.set(registration.handler, [...byHandler.get(registration.handler) ?? [], registration])
  return Array.from(byHandler, ([handler, own]) => ({
    // The id of the first registration is kept when others follow.
    id: (own.find(({ named }) => named) ?? own[0] as Registration<Context>).id,
    handler,
    accepts: ({ data }) => own.some(({ filter }) => filter === undefined || matchesFilter(filter, data))
  }))
}

/** Generated ids contain `~`, so they never match. */
const ID = /^[0-9A-Za-z_.:-]{1,64}$/

/**
 * Validates the options that an app passed. Rejects unknown ones: they may be a filter in the wrong position.
 *
 * @throws FST_B24_INVALID_HANDLER
 */
export function checkHandlerOptions (options: unknown = {}): HandlerOptions {
  if (!isObject(options)) throw new FST_B24_INVALID_HANDLER('handler options must be an object')
  const { coalesce, id, key, ...others } = options
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) throw new FST_B24_INVALID_HANDLER(`unknown handler option '${unknown}'; pass a filter before the handler`)
  if (coalesce !== undefined && typeof coalesce !== 'boolean') throw new FST_B24_INVALID_HANDLER('coalesce must be true or false')
  if (key !== undefined && typeof key !== 'function') throw new FST_B24_INVALID_HANDLER('key must be a function of the event')
  if (id !== undefined && !(typeof id === 'string' && ID.test(id))) {
    throw new FST_B24_INVALID_HANDLER('handler id must be 1 to 64 letters, digits and _ . : -')
  }
  return options
}

type Handler = (...args: never[]) => unknown

/**
 * Generates handler ids that are the same in every process of a program. An id is never reused for another handler, which would
 * otherwise be skipped as already done.
 */
export class HandlerIds {
  readonly #counts = new Map<string, number>()
  readonly #ids = new WeakMap<Handler, Map<string, string>>()

  /** Returns the id of a handler for events of this code, or of all events if `undefined`. Starts with `~`. */
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
