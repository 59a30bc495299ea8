import { readFileSync } from 'node:fs'
import t from 'tap'
import type { EventDefinition } from '../../src/events/catalogue/definition.ts'
import { catalogue } from '../../src/events/catalogue/index.ts'
import { definitionOf, itemOf } from '../../src/events/definitions.ts'
import { decodeJson } from '../../src/wire/json.ts'

const definitions: EventDefinition[] = Object.values(catalogue)
const samples: Array<[code: string, data: unknown]> = JSON.parse(readFileSync(new URL('samples.json', import.meta.url), 'utf8'))

const item = (event: string, data: unknown) => itemOf(definitionOf(event) as EventDefinition, data)
const FIELDS = { ID: '5' }
const ITEM = { FIELDS: { ID: '24', ENTITY_TYPE_ID: '1220' } }
const ADDRESS = { FIELDS: { TYPE_ID: '1', ENTITY_TYPE_ID: '8', ENTITY_ID: '2', ANCHOR_ID: '17192', ANCHOR_TYPE_ID: '3' } }
const BEFORE = { FIELDS_BEFORE: { ID: '5' }, FIELDS_AFTER: 'undefined' }
const AFTER = { FIELDS_BEFORE: 'undefined', FIELDS_AFTER: { ID: '5' } }

/** Every event with an item. Repeats of one event and item may be merged, except for events with content. */
const ROWS: Array<[item: string, events: string, data: unknown, content?: 'content']> = [
  ['booking:5', 'onBookingAdd onBookingUpdate onBookingDelete', { ID: '5' }],
  ['booking-resource:5', 'onBookingResourceAdd onBookingResourceUpdate onBookingResourceDelete', { ID: '5' }],
  ['booking-resource-type:5', 'onBookingResourceTypeAdd onBookingResourceTypeUpdate onBookingResourceTypeDelete', { ID: '5' }],
  ['booking-waitlist:5', 'onBookingWaitListItemAdd onBookingWaitListItemUpdate onBookingWaitListItemDelete', { ID: '5' }],
  ['calendar-entry:5', 'onCalendarEntryAdd onCalendarEntryUpdate onCalendarEntryDelete', { id: '5' }],
  ['calendar-section:5', 'onCalendarSectionAdd onCalendarSectionUpdate onCalendarSectionDelete', { id: '5' }],
  ['product:5', 'CATALOG.PRODUCT.ON.ADD CATALOG.PRODUCT.ON.UPDATE CATALOG.PRODUCT.ON.DELETE', { FIELDS: { ID: '5', TYPE: '1' } }],
  ['price:5', 'CATALOG.PRICE.ON.ADD CATALOG.PRICE.ON.UPDATE CATALOG.PRICE.ON.DELETE', { FIELDS }],
  ['price-type:5', 'CATALOG.PRICE.TYPE.ON.ADD CATALOG.PRICE.TYPE.ON.UPDATE CATALOG.PRICE.TYPE.ON.DELETE', { FIELDS }],
  ['measure:5', 'CATALOG.MEASURE.ON.ADD CATALOG.MEASURE.ON.UPDATE CATALOG.MEASURE.ON.DELETE', { FIELDS }],
  ['rounding-rule:5', 'CATALOG.ROUNDING.ON.ADD CATALOG.ROUNDING.ON.UPDATE CATALOG.ROUNDING.ON.DELETE', { FIELDS }],

  ['dynamic:1220:24', 'onCrmDynamicItemAdd onCrmDynamicItemUpdate onCrmDynamicItemDelete', ITEM],
  ['dynamic:1220:24', 'ONCRMDYNAMICITEMADD_1220 ONCRMDYNAMICITEMUPDATE_1220 ONCRMDYNAMICITEMDELETE_1220', ITEM],
  ['type:5', 'onCrmTypeAdd onCrmTypeUpdate onCrmTypeDelete', { FIELDS }],
  ['lead:5', 'onCrmLeadAdd onCrmLeadUpdate onCrmLeadDelete', { FIELDS }],
  ['deal:5', 'onCrmDealAdd onCrmDealUpdate onCrmDealDelete', { FIELDS }],
  ['deal:5', 'onCrmDealMoveToCategory', { FIELDS: { ID: '5', CATEGORY_ID: '1', STAGE_ID: 'C1:NEW' } }, 'content'],
  ['recurring-deal:5', 'onCrmDealRecurringAdd onCrmDealRecurringUpdate', { FIELDS: { ID: '5', RECURRING_DEAL_ID: '7' } }],
  ['recurring-deal:5', 'onCrmDealRecurringDelete', { FIELDS }],
  ['recurring-deal:5', 'onCrmDealRecurringExpose', { FIELDS: { ID: '5', RECURRING_DEAL_ID: '7', DEAL_ID: '9' } }, 'content'],
  ['contact:5', 'onCrmContactAdd onCrmContactUpdate onCrmContactDelete', { FIELDS }],
  ['company:5', 'onCrmCompanyAdd onCrmCompanyUpdate onCrmCompanyDelete', { FIELDS }],
  ['quote:5', 'onCrmQuoteAdd onCrmQuoteUpdate onCrmQuoteDelete', { FIELDS }],
  ['currency:CHE', 'onCrmCurrencyAdd onCrmCurrencyUpdate onCrmCurrencyDelete', { FIELDS: { ID: 'CHE' } }],
  ['document:5', 'onCrmDocumentGeneratorDocumentAdd onCrmDocumentGeneratorDocumentUpdate onCrmDocumentGeneratorDocumentDelete',
    { FIELDS: { ID: '5', ENTITY_TYPE_ID: '1', ENTITY_ID: '3' } }],
  ['activity:5', 'onCrmActivityAdd onCrmActivityUpdate onCrmActivityDelete', { FIELDS }],
  ['activity:5', 'onCrmTimelineItemAction', { id: 'done', entityTypeId: '2', entityId: '3', activityId: '5', userId: '1' }, 'content'],
  ['timeline-comment:5', 'onCrmTimelineCommentAdd onCrmTimelineCommentUpdate onCrmTimelineCommentDelete', { ID: '5' }],
  ['requisite:5', 'onCrmRequisiteAdd onCrmRequisiteUpdate onCrmRequisiteDelete', { FIELDS }],
  ['bank-detail:5', 'onCrmBankDetailAdd onCrmBankDetailUpdate onCrmBankDetailDelete', { FIELDS }],
  ['address:1:8:2:3:17192', 'onCrmAddressRegister onCrmAddressUnregister', ADDRESS],
  ...['Lead', 'Deal', 'Contact', 'Company', 'Quote', 'Requisite', 'Type', 'Invoice'].map((entity): typeof ROWS[number] => [
    'userfield:5', ['Add', 'Update', 'Delete', 'SetEnumValues'].map(verb => `onCrm${entity}UserField${verb}`).join(' '),
    { FIELDS: { ID: '5', ENTITY_ID: `CRM_${entity}`, FIELD_NAME: 'UF_CRM_1' } }
  ]),
  ['invoice:5', 'onCrmInvoiceAdd onCrmInvoiceUpdate onCrmInvoiceDelete onCrmInvoiceSetStatus', { FIELDS }],
  ['recurring-invoice:5', 'onCrmInvoiceRecurringAdd onCrmInvoiceRecurringUpdate', { FIELDS: { ID: '5', RECURRING_INVOICE_ID: '7' } }],
  ['recurring-invoice:5', 'onCrmInvoiceRecurringDelete', { FIELDS }],
  ['recurring-invoice:5', 'onCrmInvoiceRecurringExpose', { FIELDS: { ID: '5', RECURRING_INVOICE_ID: '7', INVOICE_ID: '9' } }, 'content'],
  ['product:5', 'onCrmProductAdd onCrmProductUpdate onCrmProductDelete', { FIELDS }],
  ['product-property:5', 'onCrmProductPropertyAdd onCrmProductPropertyUpdate onCrmProductPropertyDelete', { FIELDS }],
  ['product-section:5', 'onCrmProductSectionAdd onCrmProductSectionUpdate onCrmProductSectionDelete', { FIELDS }],
  ['measure:5', 'onCrmMeasureAdd onCrmMeasureUpdate onCrmMeasureDelete', { FIELDS }],

  ['connector:own:107', 'onImConnectorStatusDelete', { connector: 'own', line: '107' }],
  ['line:107', 'onImConnectorLineDelete', '107'],
  ['post:5', 'onLiveFeedPostAdd onLiveFeedPostUpdate onLiveFeedPostDelete', { FIELDS: { POST_ID: '5' } }],
  ['offline-queue', 'onOfflineEvent', undefined],
  ['order:5', 'onSaleOrderSaved', { FIELDS: { ID: '5', XML_ID: '', ACTION: 'save' } }],
  ['order:5', 'onSaleBeforeOrderDelete', { FIELDS: { ID: '5', XML_ID: '', ACTION: 'delete' } }],
  ['order:5', 'onOrderEntitySaved onOrderDeleted', { FIELDS }],
  ['payment:5', 'onPaymentEntitySaved onPaymentDeleted', { FIELDS }],
  ['property-value:5', 'onPropertyValueEntitySaved onPropertyValueDeleted', { FIELDS }],
  ['shipment:5', 'onShipmentEntitySaved onShipmentDeleted', { FIELDS }],
  ['sign-document:R-LK-1S', 'onSignB2eDocumentStatusChanged', { documentUid: 'R-LK-1S', statusCode: 'done', statusName: 'Signed' }, 'content'],
  ['sign-member:2dit', 'onSignB2eMemberStatusChanged', { memberUid: '2dit', documentUid: 'R-LK-1S', statusCode: 'done', statusName: 'Signed' }, 'content'],
  ['calendar-room:5', 'onCalendarRoomCreate onCalendarRoomUpdate onCalendarRoomDelete', { id: '5' }],
  ['userfield:5', 'MAIN.ON.USER.TYPE.ADD MAIN.ON.USER.TYPE.UPDATE MAIN.ON.USER.TYPE.DELETE', { FIELDS }],
  ['group:5', 'onSonetGroupAdd onSonetGroupUpdate onSonetGroupDelete', { FIELDS }],
  ['group-subject:5', 'onSonetGroupSubjectAdd onSonetGroupSubjectUpdate onSonetGroupSubjectDelete', { ID: '5' }],
  ['dialog:chat7', 'onImBotMessageAdd onImBotMessageUpdate onImBotMessageDelete onImCommandAdd onImBotJoinChat', { PARAMS: { DIALOG_ID: 'chat7' } }, 'content'],
  ['dialog:chat7', 'onImV2MessageAdd onImV2MessageUpdate onImV2MessageDelete onImV2ReactionChange', { chat: { dialogId: 'chat7' } }, 'content'],
  ['dialog:chat7', 'onImBotV2MessageAdd onImBotV2MessageUpdate onImBotV2MessageDelete onImBotV2CommandAdd onImBotV2ReactionChange', { chat: { dialogId: 'chat7' } }, 'content'],
  ['dialog:chat7', 'onImV2JoinChat onImBotV2JoinChat onImBotV2ContextGet', { dialogId: 'chat7', chat: { dialogId: '9' } }, 'content'],
  ['task:5', 'onTaskAdd', AFTER],
  ['task:5', 'onTaskUpdate', { ...BEFORE, ...AFTER }],
  ['task:5', 'onTaskDelete', BEFORE],
  ['task-comment:5', 'onTaskCommentAdd onTaskCommentUpdate', AFTER],
  ['task-comment:5', 'onTaskCommentDelete', BEFORE]
]

/** Every event without an item. */
const NONE = `
onAppInstall onAppUpdate onAppUninstall onAppUserReady onAppMethodConfirm onAppPayment onAppTest onUserAdd onSubscriptionRenew
onHumanResourcesHcmLinkEmployeeListMapped onHumanResourcesHcmLinkEmployeeListRequested onHumanResourcesHcmLinkFieldValueRequested
onHumanResourcesHcmLinkPinRequested onHumanResourcesHcmLinkSalaryVacationRequested onSignHcmLinkB2eDocumentSigned
onImBotV2Delete onImBotDelete onImBotContextGet onImConnectorMessageAdd onImConnectorMessageUpdate onImConnectorMessageDelete
onImConnectorDialogStart onImConnectorDialogFinish onOpenLineMessageAdd onOpenLineMessageUpdate onOpenLineMessageDelete
onSessionStart onSessionFinish onExternalCallStart onExternalCallBackStart
onVoximplantCallInit onVoximplantCallStart onVoximplantCallEnd`.trim().split(/\s+/)

/** Items of the documented samples. */
const SAMPLED: Array<[item: string, events: string]> = [
  ['dialog:27', 'onImBotJoinChat onImBotMessageAdd'],
  ['dialog:chat5', 'onImBotV2JoinChat'],
  ['measure:1', 'CATALOG.MEASURE.ON.ADD CATALOG.MEASURE.ON.UPDATE'],
  ['price:1', 'CATALOG.PRICE.ON.DELETE'],
  ['price-type:1', 'CATALOG.PRICE.TYPE.ON.ADD CATALOG.PRICE.TYPE.ON.UPDATE'],
  ['product:1', 'CATALOG.PRODUCT.ON.ADD CATALOG.PRODUCT.ON.DELETE CATALOG.PRODUCT.ON.UPDATE'],
  ['rounding-rule:1', 'CATALOG.ROUNDING.ON.DELETE CATALOG.ROUNDING.ON.UPDATE'],
  ['booking:66', 'onBookingAdd onBookingDelete'],
  ['booking-resource:10', 'onBookingResourceDelete onBookingResourceUpdate'],
  ['booking-resource-type:9', 'onBookingResourceTypeAdd'],
  ['booking-waitlist:1', 'onBookingWaitListItemDelete'],
  ['calendar-entry:1412', 'onCalendarEntryDelete'],
  ['calendar-entry:1414', 'onCalendarEntryUpdate'],
  ['calendar-section:202', 'onCalendarSectionDelete'],
  ['activity:999', 'onCrmActivityAdd'],
  ['address:1:8:1:3:17192', 'onCrmAddressRegister'],
  ['bank-detail:357', 'onCrmBankDetailAdd onCrmBankDetailDelete onCrmBankDetailUpdate'],
  ['company:2917', 'onCrmCompanyAdd'],
  ['userfield:6979', 'onCrmCompanyUserFieldAdd onCrmCompanyUserFieldDelete onCrmCompanyUserFieldUpdate'],
  ['contact:89', 'onCrmContactAdd onCrmContactDelete'],
  ['userfield:553', 'onCrmContactUserFieldAdd onCrmContactUserFieldDelete'],
  ['currency:CHE', 'onCrmCurrencyAdd onCrmCurrencyDelete onCrmCurrencyUpdate'],
  ['deal:6641', 'onCrmDealAdd'],
  ['deal:1765', 'onCrmDealDelete'],
  ['deal:6675', 'onCrmDealMoveToCategory'],
  ['userfield:6947', 'onCrmDealUserFieldAdd onCrmDealUserFieldSetEnumValues onCrmDealUserFieldUpdate'],
  ['document:1869', 'onCrmDocumentGeneratorDocumentDelete onCrmDocumentGeneratorDocumentUpdate'],
  ['dynamic:1220:24', 'onCrmDynamicItemUpdate'],
  ['lead:1000983', 'onCrmLeadAdd'],
  ['userfield:6977', 'onCrmLeadUserFieldSetEnumValues onCrmLeadUserFieldUpdate onCrmTypeUserFieldAdd onCrmTypeUserFieldSetEnumValues'],
  ['quote:71', 'onCrmQuoteDelete'],
  ['requisite:27', 'onCrmRequisiteAdd onCrmRequisiteUpdate'],
  ['userfield:235', 'onCrmRequisiteUserFieldDelete'],
  ['timeline-comment:999', 'onCrmTimelineCommentUpdate'],
  ['type:45', 'onCrmTypeAdd'],
  ['type:42', 'onCrmTypeUpdate'],
  ['line:107', 'onImConnectorLineDelete'],
  ['connector:myconnector:107', 'onImConnectorStatusDelete'],
  ['post:209', 'onLiveFeedPostDelete'],
  ['post:205', 'onLiveFeedPostUpdate'],
  ['offline-queue', 'onOfflineEvent'],
  ['order:300', 'onOrderEntitySaved'],
  ['payment:300', 'onPaymentEntitySaved'],
  ['property-value:300', 'onPropertyValueDeleted'],
  ['shipment:300', 'onShipmentDeleted'],
  ['sign-member:2ditmm6vjoolzbygaeua2jltkjb9hgks', 'onSignB2eMemberStatusChanged'],
  ['group:6675', 'onSonetGroupUpdate'],
  ['task:123', 'onTaskAdd onTaskDelete onTaskUpdate'],
  ['task-comment:123', 'onTaskCommentAdd onTaskCommentDelete']
]

t.test('every documented event names its item, or has none', async t => {
  const listed = new Set(ROWS.flatMap(([, events]) => events.split(' ')).concat(NONE).map(event => definitionOf(event)?.name))
  t.strictSame(definitions.filter(({ name }) => !listed.has(name)), [])
  for (const [name, events, data, content] of ROWS) {
    for (const event of events.split(' ')) {
      t.equal(item(event, data), name, event)
      t.equal(definitionOf(event)?.content, content && true, `${event} is ${content === undefined ? 'no ' : ''}content`)
    }
  }
  for (const event of NONE) t.match(definitionOf(event), { item: undefined, content: undefined }, event)
})

t.test('so do the documented samples', async t => {
  const expected = new Map(SAMPLED.flatMap(([name, events]) => events.split(' ').map(event => [event, name] as const)))
  for (const [code, data] of samples) {
    const name = definitionOf(code)?.name as string
    t.equal(item(code, data), expected.get(name), name)
  }
})

t.test('an id is the same from a form and from JSON', async t => {
  t.equal(item('ONCRMDEALADD', { FIELDS: { ID: 5 } }), 'deal:5')
  t.equal(item('onCrmDealUpdate', decodeJson('{"FIELDS":{"ID":5}}')), 'deal:5')
  t.equal(item('ONIMCONNECTORLINEDELETE', 107), 'line:107')
  t.equal(item('ONOFFLINEEVENT', []), 'offline-queue')
})

t.test('old invoice fields and tasks have their ids in either of two places', async t => {
  t.equal(item('onCrmInvoiceUserFieldAdd', { id: '5', entityId: 'CRM_INVOICE', fieldName: 'UF_CRM_1' }), 'userfield:5')
  t.equal(item('onTaskUpdate', { FIELDS_BEFORE: { ID: '5' }, FIELDS_AFTER: { ID: '' } }), 'task:5')
  t.equal(item('onTaskUpdate', { FIELDS_BEFORE: 'undefined', FIELDS_AFTER: 'undefined' }), undefined)
})

t.test('a comment of the new task card has no id and no item', async t => {
  for (const ID of [0, '0']) {
    t.equal(item('onTaskCommentAdd', { FIELDS_BEFORE: 'undefined', FIELDS_AFTER: { ID, TASK_ID: '77', MESSAGE_ID: '9' } }), undefined)
  }
})

t.test('data without an id has no item', async t => {
  const inherited = Object.create({ FIELDS: { ID: '5' } })
  const bad: unknown[] = [
    undefined, null, '', '5', 5, true, [], ['5'], {}, inherited, { ID: '5' }, { FIELDS: null }, { FIELDS: '5' }, { FIELDS: [] }, { FIELDS: ['5'] },
    { FIELDS: { id: '5' } }, { FIELDS: Object.create({ ID: '5' }) }, { FIELDS: { ID: null } }, { FIELDS: { ID: true } }, { FIELDS: { ID: {} } },
    { FIELDS: { ID: ['5'] } }, { FIELDS: { ID: '' } }, { FIELDS: { ID: ' 5' } }, { FIELDS: { ID: '5\n' } }, { FIELDS: { ID: '5:6' } },
    { FIELDS: { ID: 'ё' } }, { FIELDS: { ID: '5'.repeat(65) } }, { FIELDS: { ID: 1e21 } }, { FIELDS: { ID: 0 } }
  ]
  for (const data of bad) t.equal(item('onCrmDealUpdate', data), undefined, JSON.stringify(data))
  t.equal(item('onCrmDealUpdate', { FIELDS: { ID: '5'.repeat(64) } }), `deal:${'5'.repeat(64)}`)
  t.equal(item('onCrmDynamicItemUpdate', { FIELDS: { ID: '24' } }), undefined, 'one id of two')
  t.equal(item('onCrmDynamicItemUpdate', { FIELDS: { ID: '24', ENTITY_TYPE_ID: '12:20' } }), undefined)
})
