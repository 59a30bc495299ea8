import type { Bitrix24Event } from './event.ts'
import type { NameOf } from './event-map.ts'
import { matchesFilter, type OpenFilter } from './filter.ts'

/** Called with an event and the handler's context; the event counts as handled when it returns or its promise resolves. */
export type EventHandler<Event extends string, Context> = (
  event: Event extends string ? Bitrix24Event<NameOf<Event>> : never, context: Context
) => unknown

/** A handler that is to see events of one code, and what it accepts of them. */
export interface Registration<Context> {
  readonly handler: (event: Bitrix24Event, context: Context) => unknown
  readonly accepts: (event: Pick<Bitrix24Event, 'data'>) => boolean
}

/** One call of `on`, for one name; without a code for `onAny`. */
export interface Hook<Context> {
  readonly code: string | undefined
  readonly filter: OpenFilter | undefined
  readonly handler: Registration<Context>['handler']
}

/** One registration for each handler, however many of the hooks are its own: it accepts what any of them does. */
export function registrationsOf<Context> (hooks: Iterable<Hook<Context>>): ReadonlyArray<Registration<Context>> {
  const byHandler = new Map<Registration<Context>['handler'], Array<Hook<Context>>>()
  for (const hook of hooks) byHandler.set(hook.handler, [...byHandler.get(hook.handler) ?? [], hook])
  return Array.from(byHandler, ([handler, own]) => ({
    handler,
    accepts: ({ data }) => own.some(({ filter }) => filter === undefined || matchesFilter(filter, data))
  }))
}
