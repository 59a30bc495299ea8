import type { Static } from 'typebox'
import type { catalogue } from './catalogue/index.ts'

type Catalogue = typeof catalogue
type CatalogueData = { [Name in keyof Catalogue]: Static<Catalogue[Name]['data']> }

/**
 * Data of every event, by name. Apps can extend it:
 *
 * ```ts
 * declare module 'fastify-bitrix24' {
 *   interface Bitrix24EventMap { onMyEvent: { FIELDS: { ID: string } } }
 * }
 * ```
 */
export interface Bitrix24EventMap extends CatalogueData {}

/** Documented name with a lower-case first letter: `onTaskAdd`. */
export type EventName = Extract<keyof Bitrix24EventMap, string>
/** Name on the wire: `ONTASKADD`. */
export type EventCode = Uppercase<EventName>
/** Code of one type of dynamic items: `ONCRMDYNAMICITEMUPDATE_147`. */
export type SuffixedCode = `${Uppercase<SuffixedName>}_${number}`

type SuffixedName = 'onCrmDynamicItemAdd' | 'onCrmDynamicItemUpdate' | 'onCrmDynamicItemDelete'
type NameByCode = { [Name in EventName as Uppercase<Name>]: Name }

/** Name of the event with this name or code; other strings are unchanged. */
export type NameOf<Event extends string> =
  Event extends EventName ? Event
    : Event extends EventCode ? NameByCode[Event]
      : Event extends `${infer Code extends Uppercase<SuffixedName>}_${number}` ? NameByCode[Code]
        : Event

/** Decoded `data` of the event with this name or code; `unknown` for events that are not in the map. */
export type EventData<Event extends string> = NameOf<Event> extends infer Name extends EventName ? Bitrix24EventMap[Name] : unknown

/**
 * Numbers of CRM types, as in `ENTITY_TYPE_ID`. Smart processes have 128 to 191 and even numbers from 1030; in the recycle bin, 192 to
 * 255 and the odd numbers.
 *
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/api-reference/crm/data-types.md
 */
export const EntityType = {
  Lead: 1,
  Deal: 2,
  Contact: 3,
  Company: 4,
  /** Old invoices; new ones are `SmartInvoice`. */
  Invoice: 5,
  /** Estimates. */
  Quote: 7,
  Requisite: 8,
  Order: 14,
  /** New invoices, which are dynamic items of this type. */
  SmartInvoice: 31
} as const
