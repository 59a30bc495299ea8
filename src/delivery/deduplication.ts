import { definitionOf, itemOf } from '../events/definitions.ts'
import { createEvent } from '../events/event.ts'
import type { HandlerRegistry } from '../events/handlers.ts'
import type { Envelope } from '../wire/envelope.ts'
import type { QueueOptions } from './inbound-event.ts'

/** The methods of a handler registry that determine the order of events. */
export type EventOrder = Pick<HandlerRegistry<never>, 'coalesces' | 'keyOf'>

/**
 * Returns the key within which events of a portal run in order: their item, or the `key` of a handler; and whether waiting repeats of the event become one
 * with it. Only events that say which item changed, and nothing else, are repeats of each other.
 */
export function orderOf (envelope: Envelope, handlers: EventOrder, coalesce: boolean): Pick<QueueOptions, 'key' | 'coalesce'> {
  const { event, data } = envelope
  const definition = definitionOf(event)
  if (definition?.item !== undefined) return { key: itemOf(definition, data), coalesce: coalesce && definition.content !== true && handlers.coalesces(event) }
  const key = handlers.keyOf(event, () => createEvent(envelope).event)
  return { key: key === undefined ? undefined : `key:${key}` }
}
