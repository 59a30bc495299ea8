import type { Bitrix24Event } from './event.ts'
import type { NameOf } from './event-map.ts'
import { matchesFilter, type OpenFilter } from './filter.ts'

/** Called with an event and the handler's context; the event counts as handled when it returns or its promise resolves. */
export type EventHandler<Event extends string, Context> = (
  event: Event extends string ? Bitrix24Event<NameOf<Event>> : never, context: Context
) => unknown

/** There are none yet. */
export type HookOptions = Record<string, never>

/** A handler that is to see events of one code, and what it accepts of them. */
export interface Registration<Context> {
  readonly handler: (event: Bitrix24Event, context: Context) => unknown
  readonly accepts: (event: Pick<Bitrix24Event, 'data'>) => boolean
  readonly options: HookOptions
}

/** One call of `on`, for one name; without a code for `onAny`. */
export interface Hook<Context> {
  readonly code: string | undefined
  readonly filter: OpenFilter | undefined
  readonly handler: Registration<Context>['handler']
  readonly options: HookOptions
}

/** One registration for each handler, however many of the hooks are its own: it accepts what any of them does. */
export function registrationsOf<Context> (hooks: Iterable<Hook<Context>>): ReadonlyArray<Registration<Context>> {
  const byHandler = new Map<Registration<Context>['handler'], Array<Hook<Context>>>()
  for (const hook of hooks) byHandler.set(hook.handler, [...byHandler.get(hook.handler) ?? [], hook])
  return Array.from(byHandler, ([handler, own]) => ({
    handler,
    options: Object.assign({}, ...own.map(({ options }) => options)),
    accepts: ({ data }) => own.some(({ filter }) => filter === undefined || matchesFilter(filter, data))
  }))
}
