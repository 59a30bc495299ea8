// Checked by `tsc --noEmit`, never run: what the types of events, filters and handlers promise.
import type { Bitrix24Event } from '../../src/events/event.ts'
import { EntityType, type EventCode, type EventData, type EventName } from '../../src/events/event-map.ts'
import type { EventFilter } from '../../src/events/filter.ts'
import type { HandlerRegistry } from '../../src/events/handlers.ts'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false
function expect<T extends true> (): T | undefined { return undefined }

declare module 'fastify-bitrix24' {
  interface Bitrix24EventMap {
    onMyOwnEvent: { FIELDS: { ID: string, COLOUR: 'red' | 'blue' } }
  }
}

interface Context { portal: { domain: string } }
declare const bitrix24: { on: HandlerRegistry<Context>['on'], off: HandlerRegistry<Context>['off'], onAny: HandlerRegistry<Context>['onAny'] }

// Data by name, by code, by a code with a suffix.
interface Item { FIELDS: { ID: number, ENTITY_TYPE_ID: number } }
expect<Equal<EventData<'onCrmDynamicItemUpdate'>, Item>>()
expect<Equal<EventData<'ONCRMDYNAMICITEMUPDATE'>, Item>>()
expect<Equal<EventData<'ONCRMDYNAMICITEMUPDATE_147'>, Item>>()
expect<Equal<EventData<'CATALOG.PRICE.ON.ADD'>, { FIELDS: { ID: number } }>>()
expect<Equal<EventData<'onOfflineEvent'>, undefined>>()
expect<Equal<EventData<'onImConnectorLineDelete'>, number>>()
expect<Equal<EventData<'onImBotContextGet'>, unknown>>()
expect<Equal<EventData<'onSomethingNew'>, unknown>>()
expect<Equal<EventData<string>, unknown>>()
expect<Equal<EventData<'onMyOwnEvent'>, { FIELDS: { ID: string, COLOUR: 'red' | 'blue' } }>>()
expect<Equal<EventData<'ONMYOWNEVENT'>['FIELDS']['ID'], string>>()

// What is there, what may be absent, what is one of several.
expect<Equal<NonNullable<EventData<'onTaskAdd'>['FIELDS_AFTER']>['ID'], number>>()
expect<Equal<EventData<'onImBotMessageAdd'>['BOT'][string]['BOT_ID'], number>>()
expect<Equal<EventData<'onImConnectorMessageAdd'>['MESSAGES'][number]['im']['chat_id'], number>>()
expect<Equal<EventData<'onImBotV2MessageAdd'>['message']['isSystem'], boolean>>()
expect<Equal<EventData<'onImBotV2MessageAdd'>['user']['idle'], string | false>>()
expect<Equal<EventData<'onUserAdd'>['ID'], number>>()
expect<Equal<EventData<'onUserAdd'>['UF_USR_1'], unknown>>()
export const action: EventData<'onSaleOrderSaved'>['FIELDS']['ACTION'] = 'something new'
// @ts-expect-error FIELDS_AFTER is absent when a task is deleted
export type Absent = EventData<'onTaskDelete'>['FIELDS_AFTER']['ID']
// @ts-expect-error there is no such field
export type Missing = EventData<'onCrmDealAdd'>['FIELDS']['TITLE']

// Names.
export const name: EventName = 'onTaskAdd'
export const code: EventCode = 'ONTASKADD'
export const own: EventName = 'onMyOwnEvent'
// @ts-expect-error the first letter is small
export const capital: EventName = 'OnTaskAdd'
// @ts-expect-error no such event
export const unknownCode: EventCode = 'ONNOTHING'

// Handlers.
bitrix24.on('onCrmDynamicItemUpdate', async (event, { portal }) => {
  expect<Equal<typeof event, Bitrix24Event<'onCrmDynamicItemUpdate'>>>()
  expect<Equal<typeof event.data.FIELDS.ID, number>>()
  expect<Equal<typeof event.name, 'onCrmDynamicItemUpdate'>>()
  expect<Equal<typeof portal.domain, string>>()
})
bitrix24.on('ONTASKADD', event => { expect<Equal<typeof event, Bitrix24Event<'onTaskAdd'>>>() })
bitrix24.on('ONCRMDYNAMICITEMUPDATE_147', event => { expect<Equal<typeof event.data, Item>>() })
bitrix24.on('onSomethingNew', event => { expect<Equal<typeof event.data, unknown>>() })
bitrix24.on('onMyOwnEvent', event => { expect<Equal<typeof event.data.FIELDS.COLOUR, 'red' | 'blue'>>() })
bitrix24.onAny(event => { expect<Equal<typeof event.data, unknown>>() })
bitrix24.on(['onBookingAdd', 'ONUSERADD'], event => {
  expect<Equal<typeof event, Bitrix24Event<'onBookingAdd'> | Bitrix24Event<'onUserAdd'>>>()
  if (event.name === 'onUserAdd') expect<Equal<typeof event.data.EMAIL, string | undefined>>()
})
bitrix24.on(['onBookingAdd', 'onSomethingNew'], ({ data, name }) => {
  expect<Equal<typeof data, unknown>>()
  expect<Equal<typeof name, 'onBookingAdd' | 'onSomethingNew'>>()
})
const handler = (event: Bitrix24Event<'onTaskAdd'>) => event.data.FIELDS_AFTER?.ID
bitrix24.on('onTaskAdd', handler)
bitrix24.off('onTaskAdd', handler)
// @ts-expect-error a handler of another event
bitrix24.on('onCrmDealAdd', handler)
// @ts-expect-error a handler is a function
bitrix24.on('onTaskAdd', 'handler')
// @ts-expect-error data is not known
bitrix24.on('onSomethingNew', event => event.data.FIELDS)
// @ts-expect-error an event cannot be changed
bitrix24.on('onTaskAdd', event => { event.attempt = 2 })

// Filters.
const nothing = () => {}
bitrix24.on('onCrmDynamicItemUpdate', { ENTITY_TYPE_ID: EntityType.SmartInvoice }, event => {
  expect<Equal<typeof event.data.FIELDS.ENTITY_TYPE_ID, number>>()
})
bitrix24.on('onCrmDynamicItemUpdate', { ENTITY_TYPE_ID: [31, 1220], ID: 1 }, nothing)
bitrix24.on('ONVOXIMPLANTCALLEND', { CALL_FAILED_CODE: '304' }, nothing)
bitrix24.on('onImBotV2MessageAdd', { message: { isSystem: false }, chat: { type: ['chat', 'open'] } }, nothing)
bitrix24.on('onTaskUpdate', { FIELDS_AFTER: { ID: 5 } }, nothing)
bitrix24.on(['onCrmDynamicItemAdd', 'onCrmDynamicItemUpdate'], { ENTITY_TYPE_ID: 1220 }, event => {
  expect<Equal<typeof event.data.FIELDS.ENTITY_TYPE_ID, number>>()
})
bitrix24.on('onSomethingNew', { anything: [1, 'x'], deep: { er: true } }, nothing)
export const open: EventFilter<'onMyOwnEvent'> = { COLOUR: 'red' }
// @ts-expect-error ids are numbers
bitrix24.on('onCrmDynamicItemUpdate', { ENTITY_TYPE_ID: '1220' }, nothing)
// @ts-expect-error there is no such field
bitrix24.on('onCrmDynamicItemUpdate', { TYPE: 1220 }, nothing)
// @ts-expect-error FIELDS is meant already
bitrix24.on('onCrmDynamicItemUpdate', { FIELDS: { ENTITY_TYPE_ID: 1220 } }, nothing)
// @ts-expect-error a variable that may not be set
bitrix24.on('onCrmDynamicItemUpdate', { ENTITY_TYPE_ID: undefined }, nothing)
// @ts-expect-error the value is not one of the field's
bitrix24.on('onMyOwnEvent', { COLOUR: 'green' }, nothing)
// @ts-expect-error data that is a number cannot be filtered
bitrix24.on('onImConnectorLineDelete', { ID: 1 }, nothing)

// Options.
bitrix24.on('onTaskAdd', event => { expect<Equal<typeof event, Bitrix24Event<'onTaskAdd'>>>() }, { coalesce: false, id: 'sync' })
bitrix24.on('onCrmDynamicItemUpdate', { ENTITY_TYPE_ID: 1220 }, event => {
  expect<Equal<typeof event.data, Item>>()
}, { coalesce: false })
bitrix24.onAny(event => { expect<Equal<typeof event.data, unknown>>() }, { id: 'audit' })
bitrix24.on('onTaskAdd', nothing, {})
bitrix24.on(['onVoximplantCallStart', 'onVoximplantCallEnd'], nothing, { key: event => { expect<Equal<typeof event.data.CALL_ID, string>>(); return event.data.CALL_ID } })
// @ts-expect-error a key is a string
bitrix24.on('onVoximplantCallEnd', nothing, { key: event => event.data.CALL_DURATION })
// @ts-expect-error there is no such option
bitrix24.on('onTaskAdd', nothing, { coalesced: false })
// @ts-expect-error an id is a string
bitrix24.on('onTaskAdd', nothing, { id: 5 })
// @ts-expect-error a filter stands before the handler
bitrix24.on('onCrmDynamicItemUpdate', nothing, { ENTITY_TYPE_ID: 1220 })
// @ts-expect-error options stand after the handler
bitrix24.on('onCrmDynamicItemUpdate', { coalesce: false }, nothing)
// @ts-expect-error onAny takes no filter
bitrix24.onAny({ ENTITY_TYPE_ID: 1220 }, nothing)
