import t from 'tap'
import { FST_B24_INVALID_HANDLER } from '../../src/errors.ts'
import type { Bitrix24Event } from '../../src/events/event.ts'
import { createEvent } from '../../src/events/event.ts'
import { matchesFilter, type OpenFilter } from '../../src/events/filter.ts'
import { HandlerRegistry } from '../../src/events/handlers.ts'

interface Context { log: string[] }

function setup () {
  const warnings: object[] = []
  const hooks = new HandlerRegistry<Context>({ warn: (message, details) => warnings.push({ message, ...details }) })
  const log: string[] = []
  const event = (code: string, data: unknown) => createEvent({ event: code, data, auth: { member_id: 'm' } }).event
  /** Dispatches an event; returns the handlers that were called. */
  const send = (code: string, data: unknown = { FIELDS: { ID: '1', ENTITY_TYPE_ID: '147' } }) => {
    log.length = 0
    const sent = event(code, data)
    for (const { handler, accepts } of hooks.match(code)) if (accepts(sent)) handler(sent, { log })
    return [...log]
  }
  const logs = (word: string) => (_event: Bitrix24Event<string>, context: Context) => { context.log.push(word) }
  return { hooks, warnings, send, logs }
}

t.test('a handler matches the name and the code, in any case', async t => {
  const { hooks, send, logs, warnings } = setup()
  hooks.on('onTaskAdd', logs('name'))
  hooks.on('ONTASKADD', logs('code'))
  hooks.on('OnTaskAdd', logs('as documented'))
  t.strictSame(send('ONTASKADD'), ['name', 'code', 'as documented'])
  t.strictSame(send('onTaskAdd'), ['name', 'code', 'as documented'])
  t.strictSame(send('ONTASKUPDATE'), [])
  t.strictSame(warnings, [])
})

t.test('a code with a type suffix reaches handlers of the base code and its own, in order of registration', async t => {
  const { hooks, send, logs } = setup()
  hooks.on('ONCRMDYNAMICITEMADD_147', logs('147'))
  hooks.on('onCrmDynamicItemAdd', logs('base'))
  hooks.on('oncrmdynamicitemadd_31', logs('31'))
  t.strictSame(send('ONCRMDYNAMICITEMADD'), ['base'])
  t.strictSame(send('ONCRMDYNAMICITEMADD_147'), ['147', 'base'])
  t.strictSame(send('ONCRMDYNAMICITEMADD_31'), ['base', '31'])
  t.strictSame(send('ONCRMDYNAMICITEMADD_9'), ['base'])
})

t.test('one handler can listen to several events', async t => {
  const { hooks, send, logs } = setup()
  hooks.on(['onTaskAdd', 'onTaskUpdate'], logs('task'))
  t.strictSame([send('ONTASKADD'), send('ONTASKUPDATE'), send('ONTASKDELETE')], [['task'], ['task'], []])
})

t.test('onAny gets every event, documented or not', async t => {
  const { hooks, send, logs } = setup()
  hooks.onAny(logs('any'))
  hooks.on('onTaskAdd', logs('task'))
  t.strictSame([send('ONTASKADD'), send('ONNEW')], [['any', 'task'], ['any']])
})

t.test('an undocumented name warns, and works', async t => {
  const { hooks, send, logs, warnings } = setup()
  hooks.on(['onTaskAdd', 'onSomethingNew'], logs('new'))
  t.match(warnings, [{ message: /'onSomethingNew'/, event: 'onSomethingNew' }])
  t.strictSame(send('ONSOMETHINGNEW'), ['new'])
})

t.test('one handler is called once for one event', async t => {
  const { hooks, send, logs } = setup()
  const handler = logs('once')
  hooks.on('onCrmDynamicItemAdd', handler)
  hooks.on('ONCRMDYNAMICITEMADD', handler)
  hooks.on('ONCRMDYNAMICITEMADD_147', handler)
  hooks.on('onCrmDynamicItemAdd', { ID: 1 }, handler)
  hooks.onAny(handler)
  t.strictSame(send('ONCRMDYNAMICITEMADD_147'), ['once'])
  t.strictSame(send('ONTASKADD'), ['once'])
})

t.test('a handler with two filters receives events that match either', async t => {
  const { hooks, send, logs } = setup()
  const handler = logs('item')
  hooks.on('onCrmDynamicItemAdd', { ENTITY_TYPE_ID: 147 }, handler)
  hooks.on('onCrmDynamicItemAdd', { ENTITY_TYPE_ID: 31 }, handler)
  const item = (type: string) => send('ONCRMDYNAMICITEMADD', { FIELDS: { ID: '1', ENTITY_TYPE_ID: type } })
  t.strictSame([item('147'), item('31'), item('1220')], [['item'], ['item'], []])
})

t.test('off removes handlers of on with any filter, and nothing else', async t => {
  const { hooks, send, logs } = setup()
  const handler = logs('mine')
  hooks.on(['onTaskAdd', 'onTaskUpdate', 'onTaskDelete'], handler)
  hooks.on('onTaskAdd', { FIELDS_AFTER: { ID: 1 } }, handler)
  hooks.on('onTaskAdd', logs('other'))
  hooks.off(['ontaskadd', 'ONTASKDELETE'], handler)
  t.strictSame([send('ONTASKADD'), send('ONTASKUPDATE'), send('ONTASKDELETE')], [['other'], ['mine'], []])
  hooks.onAny(handler)
  hooks.off('onTaskUpdate', handler)
  t.strictSame(send('ONTASKUPDATE'), ['mine'])
})

t.test('a handler may remove itself during a dispatch', async t => {
  const { hooks, send, logs } = setup()
  const once = (_event: unknown, { log }: Context) => {
    log.push('once')
    hooks.off('onTaskAdd', once)
    hooks.on('onTaskAdd', logs('later'))
  }
  hooks.on('onTaskAdd', once)
  hooks.on('onTaskAdd', logs('second'))
  t.strictSame(send('ONTASKADD'), ['once', 'second'])
  t.strictSame(send('ONTASKADD'), ['second', 'later'])
})

t.test('offAny removes handlers of onAny, and nothing else', async t => {
  const { hooks, logs, send } = setup()
  const any = logs('any')
  hooks.onAny(any)
  hooks.on('onTaskAdd', any)
  hooks.offAny(any)
  t.strictSame(send('ONTASKUPDATE'), [])
  t.strictSame(send('ONTASKADD'), ['any'])
})

t.test('the lookup of a code returns the same list until registrations change', async t => {
  const { hooks, logs } = setup()
  hooks.on('onTaskAdd', logs('task'))
  const list = hooks.match('ONTASKADD')
  t.equal(hooks.match('ONTASKADD'), list)
  hooks.on('onTaskAdd', logs('another'))
  t.equal(list.length, 1)
  t.equal(hooks.match('ONTASKADD').length, 2)
})

t.test('options are passed after the handler, with or without a filter', async t => {
  const { hooks, send, logs } = setup()
  hooks.on('onCrmDynamicItemAdd', logs('plain'), { id: 'plain' })
  hooks.on('onCrmDynamicItemAdd', { ENTITY_TYPE_ID: 147 }, logs('147'), { id: '147', coalesce: true })
  hooks.on('onCrmDynamicItemAdd', { ENTITY_TYPE_ID: 31 }, logs('31'), {})
  hooks.onAny(logs('any'), { id: 'any' })
  t.strictSame(send('ONCRMDYNAMICITEMADD'), ['plain', '147', 'any'])
  t.match(hooks.match('ONCRMDYNAMICITEMADD').map(({ id }) => id), ['plain', '147', /^~/, 'any'])
})

t.test('events are merged unless one of their handlers opts out', async t => {
  const { hooks, logs } = setup()
  const coalescing = (...codes: string[]) => codes.map(code => hooks.coalesces(code))
  t.strictSame(coalescing('ONTASKADD', 'ONNEW'), [true, true], 'also where nobody listens')
  const strict = logs('strict')
  hooks.on('onTaskAdd', logs('task'), { coalesce: true })
  hooks.on(['onTaskUpdate', 'onCrmDynamicItemUpdate'], strict, { coalesce: false })
  hooks.on('ONCRMDYNAMICITEMADD_147', { ID: 5 }, strict, { coalesce: false })
  t.strictSame(coalescing('ONTASKADD', 'ONTASKUPDATE', 'onTaskUpdate', 'ONTASKDELETE'), [true, false, false, true])
  t.strictSame(coalescing('ONCRMDYNAMICITEMUPDATE', 'ONCRMDYNAMICITEMUPDATE_147'), [false, false], 'a base speaks for every type')
  t.strictSame(coalescing('ONCRMDYNAMICITEMADD', 'ONCRMDYNAMICITEMADD_31', 'ONCRMDYNAMICITEMADD_147'), [true, true, false], 'a type for itself')
  hooks.on('onTaskUpdate', strict)
  t.strictSame(coalescing('ONTASKUPDATE'), [false], 'a handler that said no in one place means it')
  hooks.off('onTaskUpdate', strict)
  t.strictSame(coalescing('ONTASKUPDATE'), [true])
  hooks.onAny(strict, { coalesce: false })
  t.strictSame(coalescing('ONTASKADD', 'ONTASKUPDATE', 'ONNEW', 'ONCRMDYNAMICITEMADD_31'), [false, false, false, false])
  hooks.offAny(strict)
  t.strictSame(coalescing('ONTASKADD', 'ONNEW'), [true, true])
})

t.test('invalid options are rejected', async t => {
  const { hooks, send, logs } = setup()
  const loose = hooks as unknown as Record<'on' | 'onAny', (...args: unknown[]) => void>
  const handler = logs('never')
  const wrong: unknown[] = [
    null, 'sync', 5, true, [], handler, { coalesce: 'no' }, { coalesce: null }, { id: '' }, { id: 5 }, { id: 'onInstall 0' }, { id: '~x' },
    { id: 'x'.repeat(65) }, { ENTITY_TYPE_ID: 147 }, { coalesce: false, name: 'x' }
  ]
  for (const options of wrong) {
    t.throws(() => loose.on('onTaskAdd', handler, options), FST_B24_INVALID_HANDLER, JSON.stringify(options))
    t.throws(() => loose.on('onTaskAdd', {}, handler, options), FST_B24_INVALID_HANDLER)
    t.throws(() => loose.onAny(handler, options), FST_B24_INVALID_HANDLER)
  }
  t.strictSame(send('ONTASKADD'), [])
  loose.on('onTaskAdd', handler, { coalesce: undefined, id: undefined })
  loose.onAny(handler, undefined)
  t.strictSame(send('ONTASKADD'), ['never'])
  t.equal(hooks.coalesces('ONTASKADD'), true)
})

t.test('a rejected name does not warn', async t => {
  const { hooks, warnings } = setup()
  t.throws(() => (hooks as unknown as { on (...args: unknown[]): void }).on('onSomethingNew', 5))
  t.strictSame(warnings, [])
})

t.test('rejects invalid names, filters and handlers', async t => {
  const { hooks, send, logs } = setup()
  const loose = hooks as unknown as Record<'on' | 'off' | 'onAny', (...args: unknown[]) => void>
  const handler = logs('never')
  const calls: Array<[method: 'on' | 'off' | 'onAny', ...args: unknown[]]> = [
    ['on', '', handler], ['on', undefined, handler], ['on', 5, handler], ['on', [], handler], ['on', ['onTaskAdd', ''], handler],
    ['on', 'onTaskAdd'], ['on', 'onTaskAdd', 'handler'], ['on', 'onTaskAdd', {}], ['on', 'onTaskAdd', {}, {}],
    ['on', 'onTaskAdd', null, handler], ['on', 'onTaskAdd', ['ID'], handler], ['on', 'onTaskAdd', undefined, handler],
    ['on', 'onTaskAdd', { ID: undefined }, handler], ['on', 'onTaskAdd', { ID: null }, handler], ['on', 'onTaskAdd', { ID: [] }, handler],
    ['on', 'onTaskAdd', { ID: [undefined] }, handler], ['on', 'onTaskAdd', { FIELDS_AFTER: { ID: undefined } }, handler],
    ['off', '', handler], ['off', 'onTaskAdd'], ['onAny'], ['onAny', {}]
  ]
  for (const [method, ...args] of calls) t.throws(() => loose[method](...args), FST_B24_INVALID_HANDLER, `${method} ${JSON.stringify(args)}`)
  t.strictSame(send('ONTASKADD'), [])
})

t.test('a filter compares decoded values, in FIELDS if present', async t => {
  const rows: Array<[filter: OpenFilter, data: unknown, matches: boolean]> = [
    [{ ENTITY_TYPE_ID: 147 }, { FIELDS: { ID: 1, ENTITY_TYPE_ID: 147 } }, true],
    [{ ENTITY_TYPE_ID: '147' }, { FIELDS: { ID: 1, ENTITY_TYPE_ID: 147 } }, false],
    [{ ENTITY_TYPE_ID: 147, ID: 2 }, { FIELDS: { ID: 1, ENTITY_TYPE_ID: 147 } }, false],
    [{ ENTITY_TYPE_ID: [31, 147] }, { FIELDS: { ENTITY_TYPE_ID: 147 } }, true],
    [{ ENTITY_TYPE_ID: [31, 36] }, { FIELDS: { ENTITY_TYPE_ID: 147 } }, false],
    [{ CALL_TYPE: 1 }, { CALL_TYPE: 1 }, true],
    [{ message: { isSystem: false } }, { message: { isSystem: false, id: 5 } }, true],
    [{ message: { isSystem: false } }, { message: { isSystem: true } }, false],
    [{ message: { isSystem: false } }, { message: 'x' }, false],
    [{ message: { isSystem: false } }, {}, false],
    [{ constructor: { name: 'Object' } }, {}, false],
    [{}, { FIELDS: {} }, true],
    [{ ID: 1 }, undefined, false],
    [{ ID: 1 }, 1, false]
  ]
  for (const [filter, data, matches] of rows) t.equal(matchesFilter(filter, data), matches, JSON.stringify([filter, data]))
})

t.test('a key orders events that are about no item, and one function does', async t => {
  const { hooks, warnings } = setup()
  const created = (data: unknown) => () => createEvent({ event: 'ONVOXIMPLANTCALLEND', data, auth: { member_id: 'm' } }).event
  const byCall = (event: Bitrix24Event) => (event.data as { CALL_ID?: string }).CALL_ID
  const refused: Array<[names: string, key: unknown, message: RegExp]> = [
    ['onCrmDealUpdate', byCall, /takes no key: its events are handled one item at a time/],
    ['onImBotMessageAdd', byCall, /takes no key/],
    ['onVoximplantCallEnd', 'CALL_ID', /key must be a function/]
  ]
  for (const [names, key, message] of refused) t.throws(() => hooks.on(names, () => {}, { key: key as never }), { code: 'FST_B24_INVALID_HANDLER', message }, names)
  t.throws(() => hooks.onAny(() => {}, { key: byCall as never }), { code: 'FST_B24_INVALID_HANDLER', message: /onAny takes no key/ })
  t.equal(hooks.keyOf('ONVOXIMPLANTCALLEND', created({ CALL_ID: 'a' })), undefined, 'none without a handler that has one')
  hooks.on('onVoximplantCallEnd', () => {}, { key: byCall as never })
  hooks.on('onVoximplantCallEnd', () => {}, { key: byCall as never, id: 'another' })
  t.throws(() => hooks.on('onVoximplantCallEnd', () => {}, { key: () => 'x', id: 'third' }), { message: /has another key/ })
  t.equal(hooks.keyOf('ONVOXIMPLANTCALLEND', created({ CALL_ID: 'a' })), 'a')
  t.equal(hooks.keyOf('ONTASKADD', created({ CALL_ID: 'a' })), undefined)
  warnings.length = 0
  for (const data of [{ CALL_ID: '' }, { CALL_ID: 'x'.repeat(257) }]) t.equal(hooks.keyOf('ONVOXIMPLANTCALLEND', created(data)), undefined)
  hooks.on('onVoximplantCallInit', () => {}, { key: () => { throw new Error('no luck') } })
  t.equal(hooks.keyOf('ONVOXIMPLANTCALLINIT', created({})), undefined)
  t.equal(warnings.length, 3, 'and each is warned about')
})
