import type { Bitrix24Event } from './event.ts'
import { FST_B24_INVALID_HANDLER } from '../errors.ts'
import { didYouMean } from '../validation.ts'
import { catalogue } from './catalogue/index.ts'
import { baseCode, definitionOf } from './definitions.ts'
import type { EventCode, EventName, SuffixedCode } from './event-map.ts'
import { checkFilter, type EventFilter, filterProblem, type OpenFilter } from './filter.ts'
import { checkHandlerOptions, type EventHandler, HandlerIds, type HandlerOptions, type Registration, type RegisteredHandler, groupByHandler } from './registration.ts'

/** Name or code of an event. Any string works; the documented ones are offered and typed. */
export type AnyEvent = EventName | EventCode | SuffixedCode | (string & {})

type Warn = (message: string, details: object) => void
type Index<Context> = Map<string, Entry<Context>>

interface Entry<Context> {
  handlers: ReadonlyArray<RegisteredHandler<Context>>
  coalesces: boolean
  key: HandlerOptions['key']
}

const MAX_KEY_LENGTH = 256
/** Key of `onAny` registrations in the index; no event has an empty code. */
const ANY = ''

/** Event handlers of the app. Lookups take constant time: the lists are built when registrations change. */
export class HandlerRegistry<Context> {
  readonly #warn: Warn
  readonly #hookNames: readonly string[]
  readonly #ids = new HandlerIds()
  #registrations: ReadonlyArray<Registration<Context>> = []
  #index: Index<Context> | undefined
  #listensTo: { codes: readonly string[] | undefined } | undefined

  /** @param parts `hookNames`: names that `addHook` accepts */
  constructor ({ warn, hookNames = [] }: { warn: Warn, hookNames?: readonly string[] }) {
    this.#warn = warn
    this.#hookNames = hookNames
  }

  /**
   * Calls the handler for every event with one of the names or codes, in any case. Handlers of a base code also receive its codes with a
   * type suffix. A handler is called once per event, even if registered several times.
   *
   * @throws FST_B24_INVALID_HANDLER
   */
  on<Event extends AnyEvent> (names: Event | readonly Event[], handler: EventHandler<Event, Context>, options?: HandlerOptions<Event>): void
  /** Calls the handler only for events whose decoded data matches the filter. */
  on<Event extends AnyEvent> (
    names: Event | readonly Event[], filter: EventFilter<Event>, handler: EventHandler<Event, Context>, options?: HandlerOptions<Event>
  ): void

  on (names: string | readonly string[], ...rest: unknown[]): void {
    const [filter, handler, options] = typeof rest[0] === 'function' ? [undefined, ...rest] : [checkFilter(rest[0]), ...rest.slice(1)]
    const codes = codesOf(names)
    if (filter !== undefined) this.#checkFilter([names].flat() as string[], filter)
    this.#add(codes, filter, handler, options)
    for (const name of [names].flat() as string[]) {
      if (definitionOf(name) === undefined) this.#warn(unknownEventMessage(name, this.#hookNames), { event: name })
    }
  }

  /** Rejects a filter that matches none of the events; warns if it can match only some of them. */
  #checkFilter (names: readonly string[], filter: OpenFilter): void {
    const problems = names.flatMap(name => {
      const problem = filterProblem(name, filter)
      return problem === undefined ? [] : [{ name, problem }]
    })
    if (problems.length === names.length) throw new FST_B24_INVALID_HANDLER(`the filter never matches: ${problems[0]?.problem}`)
    for (const { name, problem } of problems) this.#warn(`the filter never matches '${name}': ${problem}`, { event: name })
  }

  /**
   * Calls the handler for every event, documented or not.
   *
   * @throws FST_B24_INVALID_HANDLER
   */
  onAny (handler: EventHandler<string, Context>, options?: HandlerOptions): void {
    this.#add([undefined], undefined, handler, options)
  }

  /**
   * Removes a handler registered with `onAny`.
   *
   * @throws FST_B24_INVALID_HANDLER
   */
  offAny (handler: EventHandler<string, Context>): void {
    const own = handlerOf<Context>(handler)
    this.#set(this.#registrations.filter(registration => registration.handler !== own || registration.code !== undefined))
  }

  /**
   * Removes handlers registered with `on` for these names, with any filter. Events already being dispatched still reach the handler.
   *
   * @throws FST_B24_INVALID_HANDLER
   */
  off<Event extends AnyEvent> (names: Event | readonly Event[], handler: EventHandler<Event, Context>): void {
    const codes = codesOf(names)
    const own = handlerOf<Context>(handler)
    this.#set(this.#registrations.filter(registration => registration.handler !== own || registration.code === undefined || !codes.includes(registration.code)))
  }

  /** Codes that handlers listen to, in capitals; `undefined` where one listens to all. The same list until handlers change. */
  get listensTo (): readonly string[] | undefined {
    this.#listensTo ??= { codes: this.#registrations.some(({ code }) => code === undefined) ? undefined : this.codes }
    return this.#listensTo.codes
  }

  /** Codes registered with `on`, in upper case. */
  get codes (): readonly string[] {
    return [...new Set(this.#registrations.flatMap(({ code }) => code ?? []))]
  }

  /**
   * Returns the values that filters of a code's handlers accept for a key; `undefined` if a handler does not filter by it.
   *
   * @param key of `data.FIELDS`
   */
  filterValues (code: string, key: string): readonly unknown[] | undefined {
    const own = this.#registrations.filter(registration => registration.code === code)
    const values = own.map(({ filter }) => filter !== undefined && Object.hasOwn(filter, key) ? [filter[key]].flat() : undefined)
    return own.length === 0 || values.includes(undefined) ? undefined : [...new Set(values.flat())]
  }

  /** Returns the handlers of events with this code, in order of registration. The list is immutable. */
  match (code: string): ReadonlyArray<RegisteredHandler<Context>> {
    return this.#entry(code).handlers
  }

  /** What the handlers' `key` makes of an event of this code; `undefined` where they have none, or it makes no key. */
  keyOf (code: string, createEvent: () => Bitrix24Event): string | undefined {
    const { key } = this.#entry(code)
    if (key === undefined) return undefined
    try {
      const made: unknown = key(createEvent())
      if (made === undefined || (typeof made === 'string' && made !== '' && made.length <= MAX_KEY_LENGTH)) return made
      throw new TypeError(`a key is a string of 1 to ${MAX_KEY_LENGTH} characters`)
    } catch (error) {
      this.#warn(`failed to make a key of an event, it is handled in no order: ${(error as Error).message}`, { event: code })
      return undefined
    }
  }

  /** Returns whether all handlers allow waiting repeats of an event with this code to be merged. */
  coalesces (code: string): boolean {
    return this.#entry(code).coalesces
  }

  #entry (code: string): Entry<Context> {
    this.#index ??= indexOf(this.#registrations)
    const wire = code.toUpperCase()
    return this.#index.get(wire) ?? this.#index.get(baseCode(wire)) ?? this.#index.get(ANY)!
  }

  #add (codes: ReadonlyArray<string | undefined>, filter: OpenFilter | undefined, called: unknown, options: unknown): void {
    const handler = handlerOf<Context>(called)
    const { coalesce = true, id, key } = checkHandlerOptions(options)
    if (key !== undefined) this.#checkKey(codes, key)
    const rival = this.#registrations.find(registration => registration.named && registration.id === id && registration.handler !== handler && codes.some(code => canOverlap(code, registration.code)))
    if (rival !== undefined) throw new FST_B24_INVALID_HANDLER(`another handler of the same event has the id '${id}'`)
    const own = { filter, handler, coalesce, named: id !== undefined, key }
    this.#set([...this.#registrations, ...codes.map(code => ({ ...own, code, id: id ?? this.#ids.idOf(code, filter, handler) }))])
  }

  /** @throws FST_B24_INVALID_HANDLER where the events have a key already */
  #checkKey (codes: ReadonlyArray<string | undefined>, key: HandlerOptions['key']): void {
    const ofItem = codes.find(code => code !== undefined && definitionOf(code)?.item !== undefined)
    if (ofItem !== undefined) throw new FST_B24_INVALID_HANDLER(`'${ofItem}' takes no key: its events are handled one item at a time, in order`)
    if (codes.includes(undefined)) throw new FST_B24_INVALID_HANDLER('onAny takes no key: give it to on()')
    const other = this.#registrations.find(registration => registration.key !== undefined && registration.key !== key && codes.some(code => canOverlap(code, registration.code)))
    if (other !== undefined) throw new FST_B24_INVALID_HANDLER(`another handler of '${other.code}' has another key`)
  }

  #set (registrations: ReadonlyArray<Registration<Context>>): void {
    this.#registrations = registrations
    this.#index = undefined
    this.#listensTo = undefined
  }
}

function indexOf<Context> (registrations: ReadonlyArray<Registration<Context>>): Index<Context> {
  const codes = new Set([ANY, ...registrations.map(({ code = ANY }) => code)])
  return new Map(Array.from(codes, code => {
    const reach = [undefined, code, baseCode(code)]
    const own = registrations.filter(registration => reach.includes(registration.code))
    return [code, { handlers: groupByHandler(own), coalesces: own.every(({ coalesce }) => coalesce), key: own.find(({ key }) => key !== undefined)?.key }]
  }))
}

/** Returns whether one event can match both codes. */
function canOverlap (a: string | undefined, b: string | undefined): boolean {
  return a === undefined || b === undefined || a === b || baseCode(a) === b || a === baseCode(b)
}

function codesOf (names: unknown): string[] {
  const list: unknown[] = Array.isArray(names) ? names : [names]
  if (list.length === 0) throw new FST_B24_INVALID_HANDLER('no event name given')
  return list.map(name => {
    if (typeof name !== 'string' || name === '') throw new FST_B24_INVALID_HANDLER('an event name must be a string')
    return name.toUpperCase()
  })
}

function handlerOf<Context> (handler: unknown): RegisteredHandler<Context>['handler'] {
  if (typeof handler !== 'function') throw new FST_B24_INVALID_HANDLER('the handler must be a function')
  return handler as RegisteredHandler<Context>['handler']
}

/** Returns the warning about an undocumented event name; `hooks` are the names that `addHook` accepts. */
export function unknownEventMessage (name: string, hooks: readonly string[]): string {
  if (hooks.includes(name)) return `'${name}' is a lifecycle hook, not an event: use addHook('${name}', …)`
  return `unknown event '${name}': its data is passed as sent${didYouMean(name, Object.keys(catalogue))}`
}
