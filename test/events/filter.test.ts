import t from 'tap'
import { HandlerRegistry } from '../../src/events/handlers.ts'

const nothing = (): void => {}

function hooks () {
  const warnings: string[] = []
  return { warnings, hooks: new HandlerRegistry({ warn: message => warnings.push(message) }) }
}

t.test('a filter that can never match is rejected at registration', async t => {
  const cases: Array<[event: string, filter: unknown, says: RegExp]> = [
    ['onCrmDynamicItemUpdate', { coalesce: false }, /'coalesce' is an option: pass options after the handler/],
    ['onMyEvent', { coalesce: false }, /'coalesce' is an option/],
    ['onCrmDynamicItemUpdate', { ENTITY_TYPE: 1220 }, /data\.FIELDS has no 'ENTITY_TYPE'; did you mean 'ENTITY_TYPE_ID'\?/],
    ['onCrmDynamicItemUpdate', { FIELDS: { ENTITY_TYPE_ID: 1220 } }, /without 'FIELDS' itself/],
    ['onCrmDynamicItemUpdate', { ENTITY_TYPE_ID: '1220' }, /ENTITY_TYPE_ID is an integer, and "1220" is not/],
    ['ONCRMDYNAMICITEMUPDATE', { ENTITY_TYPE_ID: [1220, '1224'] }, /"1224" is not/],
    ['onCrmDynamicItemUpdate', { ENTITY_TYPE_ID: 1.5 }, /1\.5 is not/],
    ['onCrmDynamicItemUpdate', { ENTITY_TYPE_ID: Number.NaN }, /must be a value or a list of values/],
    ['onCrmDynamicItemUpdate', { ENTITY_TYPE_ID: [] }, /must be a value or a list of values/],
    ['onCrmDynamicItemUpdate', { ENTITY_TYPE_ID: true }, /true is not/],
    ['onCrmDynamicItemUpdate', { ENTITY_TYPE_ID: { ID: 5 } }, /is not a map/],
    ['ONCRMDYNAMICITEMUPDATE_147', { ENTITY_TYPE_ID: 1220 }, /ENTITY_TYPE_ID is always 147/],
    ['onTaskUpdate', { FIELDS_AFTER: 5 }, /FIELDS_AFTER is a map: use a nested filter/],
    ['onTaskUpdate', { FIELDS_AFTER: { ID: '5' } }, /FIELDS_AFTER\.ID is an integer/],
    ['onTaskUpdate', { FIELDS_AFTER: { TITLE: 'x' } }, /FIELDS_AFTER has no 'TITLE'/],
    ['onImV2MessageAdd', { message: { isSystem: 'Y' } }, /isSystem is a boolean/],
    ['onAppUpdate', { VERSION: 2 }, /VERSION is a string, and 2 is not/],
    ['onOpenLineMessageAdd', { DATA: { chat: { id: 5 } } }, /DATA is a list/],
    ['onImConnectorLineDelete', { ID: 5 }, /data has no fields/],
    ['onOfflineEvent', { ID: 5 }, /data has no fields/]
  ]
  for (const [event, filter, says] of cases) {
    t.throws(() => hooks().hooks.on(event, filter as never, nothing), { code: 'FST_B24_INVALID_HANDLER', message: says }, `${event} ${JSON.stringify(filter)}`)
  }
})

t.test('a filter that may match is accepted', async t => {
  const cases: Array<[event: string, filter: object]> = [
    ['onCrmDynamicItemUpdate', { ENTITY_TYPE_ID: [1220, 1224] }],
    ['ONCRMDYNAMICITEMUPDATE_147', { ENTITY_TYPE_ID: 147 }],
    ['onTaskUpdate', { FIELDS_AFTER: { ID: 5 } }],
    ['onUserAdd', { UF_USR_OWN: 'x', ACTIVE: 'Y' }],
    ['onAppPayment', { STATUS: 'a new one' }],
    ['onImBotMessageAdd', { PARAMS: { MESSAGE_TYPE: 'C' } }],
    ['onImV2MessageAdd', { user: { idle: false }, message: { isSystem: false } }],
    ['onSubscriptionRenew', { ANY: 5 }],
    ['onMyEvent', { ID: '5', deep: { x: [1, '2'] } }]
  ]
  for (const [event, filter] of cases) t.doesNotThrow(() => hooks().hooks.on(event, filter as never, nothing), `${event} ${JSON.stringify(filter)}`)
})

t.test('warns about events that a filter never matches', async t => {
  const { hooks: own, warnings } = hooks()
  own.on(['onCrmDealAdd', 'onCrmDynamicItemAdd'], { ENTITY_TYPE_ID: 1220 } as never, nothing)
  t.match(warnings, [/^the filter never matches 'onCrmDealAdd': data\.FIELDS has no 'ENTITY_TYPE_ID'/])
})
