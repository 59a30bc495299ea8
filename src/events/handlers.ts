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
  registrations: ReadonlyArray<RegisteredHandler<Context>>
  coalesces: boolean
}

/** Key of the hooks of `onAny` in the index; no event has an empty code. */
const ANY = ''

/** The app's event handlers. The lookup costs the same however many there are: lists are made when hooks change. */
export class HandlerRegistry<Context> {
  readonly #warn: Warn
  readonly #hookNames: readonly string[]
  readonly #ids = new HandlerIds()
  #hooks: ReadonlyArray<Registration<Context>> = []
  #index: Index<Context> | undefined

  /** @param parts `hookNames`: what `addHook` of the app takes, and no event is */
  constructor ({ warn, hookNames = [] }: { warn: Warn, hookNames?: readonly string[] }) {
    this.#warn = warn
    this.#hookNames = hookNames
  }

  /**
   * Calls the handler for every event with one of the names or codes, in any case. A code with a type suffix reaches the
   * hooks of its base too. One handler is called once for one event, however often it is registered.
   *
   * @throws FST_B24_INVALID_HANDLER
   */
  on<Event extends AnyEvent> (names: Event | readonly Event[], handler: EventHandler<Event, Context>, options?: HandlerOptions): void
  /** Calls the handler for those events only whose decoded data meets the filter. */
  on<Event extends AnyEvent> (
    names: Event | readonly Event[], filter: EventFilter<Event>, handler: EventHandler<Event, Context>, options?: HandlerOptions
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

  /** A filter that no event can meet is a mistake; one that some of several events can meet may be meant so. */
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
   * Ends what `onAny` began.
   *
   * @throws FST_B24_INVALID_HANDLER
   */
  offAny (handler: EventHandler<string, Context>): void {
    const own = handlerOf<Context>(handler)
    this.#set(this.#hooks.filter(hook => hook.handler !== own || hook.code !== undefined))
  }

  /**
   * Ends what `on` began for these names, with any filter. An event that is being handed out still reaches the handler.
   *
   * @throws FST_B24_INVALID_HANDLER
   */
  off<Event extends AnyEvent> (names: Event | readonly Event[], handler: EventHandler<Event, Context>): void {
    const codes = codesOf(names)
    const own = handlerOf<Context>(handler)
    this.#set(this.#hooks.filter(hook => hook.handler !== own || hook.code === undefined || !codes.includes(hook.code)))
  }

  /** Codes that `on` names, in capitals; `onAny` names none. */
  get codes (): readonly string[] {
    return [...new Set(this.#hooks.flatMap(({ code }) => code ?? []))]
  }

  /**
   * The values that the filters of all handlers of a code wait for; `undefined` where one of them has no such filter.
   *
   * @param key of `data.FIELDS`
   */
  filterValues (code: string, key: string): readonly unknown[] | undefined {
    const own = this.#hooks.filter(hook => hook.code === code)
    const values = own.map(({ filter }) => filter !== undefined && Object.hasOwn(filter, key) ? [filter[key]].flat() : undefined)
    return own.length === 0 || values.includes(undefined) ? undefined : [...new Set(values.flat())]
  }

  /** Handlers that may want an event of this code, in the order of registration. The list never changes. */
  match (code: string): ReadonlyArray<RegisteredHandler<Context>> {
    return this.#entry(code).registrations
  }

  /** Tells whether waiting repeats of an event of this code may become one, for all who may want it. */
  coalesces (code: string): boolean {
    return this.#entry(code).coalesces
  }

  #entry (code: string): Entry<Context> {
    this.#index ??= indexOf(this.#hooks)
    const wire = code.toUpperCase()
    return this.#index.get(wire) ?? this.#index.get(baseCode(wire)) ?? this.#index.get(ANY)!
  }

  #add (codes: ReadonlyArray<string | undefined>, filter: OpenFilter | undefined, called: unknown, options: unknown): void {
    const handler = handlerOf<Context>(called)
    const { coalesce = true, id } = checkHandlerOptions(options)
    const rival = this.#hooks.find(hook => hook.named && hook.id === id && hook.handler !== handler && codes.some(code => canOverlap(code, hook.code)))
    if (rival !== undefined) throw new FST_B24_INVALID_HANDLER(`another handler of the same event has the id '${id}'`)
    const own = { filter, handler, coalesce, named: id !== undefined }
    this.#set([...this.#hooks, ...codes.map(code => ({ ...own, code, id: id ?? this.#ids.idOf(code, filter, handler) }))])
  }

  #set (hooks: ReadonlyArray<Registration<Context>>): void {
    this.#hooks = hooks
    this.#index = undefined
  }
}

function indexOf<Context> (hooks: ReadonlyArray<Registration<Context>>): Index<Context> {
  const codes = new Set([ANY, ...hooks.map(({ code = ANY }) => code)])
  return new Map(Array.from(codes, code => {
    const reach = [undefined, code, baseCode(code)]
    const own = hooks.filter(hook => reach.includes(hook.code))
    return [code, { registrations: groupByHandler(own), coalesces: own.every(({ coalesce }) => coalesce) }]
  }))
}

/** Tells whether one event can reach the hooks of both codes. */
function canOverlap (a: string | undefined, b: string | undefined): boolean {
  return a === undefined || b === undefined || a === b || baseCode(a) === b || a === baseCode(b)
}

function codesOf (names: unknown): string[] {
  const list: unknown[] = Array.isArray(names) ? names : [names]
  if (list.length === 0) throw new FST_B24_INVALID_HANDLER('there is no event to listen to')
  return list.map(name => {
    if (typeof name !== 'string' || name === '') throw new FST_B24_INVALID_HANDLER('an event is named by a string')
    return name.toUpperCase()
  })
}

function handlerOf<Context> (handler: unknown): RegisteredHandler<Context>['handler'] {
  if (typeof handler !== 'function') throw new FST_B24_INVALID_HANDLER('a handler must be a function')
  return handler as RegisteredHandler<Context>['handler']
}

/** What is to be said of an event that no page documents, by the name that the app gave it; `hooks`: names that `addHook` takes instead. */
export function unknownEventMessage (name: string, hooks: readonly string[]): string {
  if (hooks.includes(name)) return `no event is named '${name}', but a lifecycle hook is: use addHook('${name}', …)`
  return `no documented event is named '${name}', and its data stays as it comes${didYouMean(name, Object.keys(catalogue))}`
}
