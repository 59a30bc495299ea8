import fc from 'fast-check'
import t, { type Test } from 'tap'
import type { TSchema } from 'typebox'
import { Type } from 'typebox'
import type { EventDefinition } from '../../src/events/catalogue/definition.ts'
import { catalogue } from '../../src/events/catalogue/index.ts'
import { anyId, bool, double, freeMap, int, list, listOrOne, mapOf, nothing, object, oneOf, optional, orFalse, orUndefined, text, unknown } from '../../src/events/catalogue/shapes.ts'
import { decodeData } from '../../src/events/decode.ts'
import { definitionOf } from '../../src/events/definitions.ts'
import { secret } from '../helpers/secrets.ts'

type Row = [schema: TSchema, wire: unknown, decoded: unknown, mismatches?: number]

const define = (data: TSchema): EventDefinition => ({ name: 'onTest', code: 'ONTEST', scope: 'test', scopes: ['test'], doc: '', data })
/** Decodes one field of an object, to distinguish "absent" from "undefined". */
const decodeField = (schema: TSchema, wire: unknown) => {
  const { data, mismatches } = decodeData(define(Type.Object({ field: schema })), { field: wire })
  return { object: data, mismatches }
}
const ABSENT = Symbol('absent')

function check (t: Test, rows: Row[]) {
  for (const [schema, wire, decoded, mismatches = 0] of rows) {
    t.strictSame(decodeField(schema, wire), { object: decoded === ABSENT ? {} : { field: decoded }, mismatches }, JSON.stringify(wire))
  }
}

t.test('only canonical integers become numbers', async t => check(t, [
  [int, '24', 24], [int, '0', 0], [int, '-7', -7], [int, 24, 24],
  [int, '9007199254740991', Number.MAX_SAFE_INTEGER],
  [int, '9007199254740992', '9007199254740992', 1],
  [int, '007', '007', 1], [int, '-0', '-0', 1], [int, '1e3', '1e3', 1], [int, '0x10', '0x10', 1], [int, ' 1', ' 1', 1],
  [int, '', '', 1], [int, 'CHE', 'CHE', 1], [int, '1.5', '1.5', 1], [int, 1.5, 1.5, 1], [int, true, true, 1],
  [int, ['1'], ['1'], 1], [int, { a: '1' }, { a: '1' }, 1],
  [oneOf(1, 2), '2', 2], [oneOf(1, 2), '9', 9]
]))

t.test('other scalars have their types', async t => check(t, [
  [double, '0.5', 0.5], [double, '1.0E+20', 1e20], [double, '-3', -3], [double, 2.5, 2.5], [double, '', '', 1], [double, 'Infinity', 'Infinity', 1],
  [text, '24', '24'], [text, '', ''], [text, 24, '24'], [text, true, true, 1], [text, ['a'], ['a'], 1],
  [oneOf('Y', 'N'), 'Y', 'Y'], [oneOf('Y', 'N'), 'new', 'new'],
  [bool, '1', true], [bool, 'Y', true], [bool, 'true', true], [bool, true, true], [bool, 1, true],
  [bool, '0', false], [bool, 'N', false], [bool, 'false', false], [bool, false, false], [bool, 0, false],
  [bool, 'yes', 'yes', 1], [bool, '', '', 1],
  [unknown, '24', '24'], [unknown, 24, 24], [unknown, { a: ['1'] }, { a: ['1'] }]
]))

t.test('variants become the first matching type', async t => check(t, [
  [anyId, '24', 24], [anyId, 'channel-1', 'channel-1'], [anyId, ['1'], ['1'], 1],
  [orFalse(text), '0', false], [orFalse(text), false, false], [orFalse(text), '2026-03-11', '2026-03-11'], [orFalse(text), true, true, 1],
  [orFalse(freeMap), '0', false], [orFalse(freeMap), { workPhone: '1' }, { workPhone: '1' }], [orFalse(freeMap), 'x', 'x', 1]
]))

t.test('a list with gaps that was sent as a map becomes a list', async t => check(t, [
  [list(int), ['1', '2'], [1, 2]], [list(int), [], []], [list(int), { 5: '1', 7: '2' }, [1, 2]], [list(int), {}, []],
  [list(int), ['1', 'x'], [1, 'x'], 1], [list(int), { a: '1' }, { a: '1' }, 1], [list(int), '1', '1', 1],
  [listOrOne(object({ id: int })), { id: '1' }, [{ id: 1 }]], [listOrOne(object({ id: int })), [{ id: '1' }], [{ id: 1 }]],
  [listOrOne(int), '1', [1]], [listOrOne(int), 'x', ['x'], 1]
]))

t.test('a map that was sent as a list becomes a map', async t => check(t, [
  [mapOf(int), { 567: '1' }, { 567: 1 }], [mapOf(int), ['5'], { 0: 5 }], [mapOf(int), [], ABSENT], [mapOf(int), {}, {}],
  [mapOf(int), '1', '1', 1], [mapOf(object({ ID: int })), { 7: { ID: '7' } }, { 7: { ID: 7 } }]
]))

t.test('an object keeps undocumented fields as sent', async t => check(t, [
  [object({ ID: int }), { ID: '1', more: { deep: ['2', null] } }, { ID: 1, more: { deep: ['2', null] } }],
  [object({ ID: int }), {}, {}], [object({ ID: int }), [], ABSENT], [object({ ID: int }), ['1'], ['1'], 1], [object({ ID: int }), '1', '1', 1]
]))

t.test('every representation of "nothing" becomes absent', async t => check(t, [
  [int, null, ABSENT], [text, null, ABSENT], [optional(int), '', ABSENT], [optional(bool), '', ABSENT], [optional(freeMap), '', ABSENT],
  [optional(text), '', ''],
  [orUndefined(object({ ID: int })), 'undefined', ABSENT], [orUndefined(object({ ID: int })), { ID: '1' }, { ID: 1 }],
  [orUndefined(oneOf('Y', 'N')), 'undefined', ABSENT], [orUndefined(oneOf('Y', 'N')), 'N', 'N'], [text, 'undefined', 'undefined']
]))

t.test('data itself may be missing or not a map', async t => {
  const decode = (schema: TSchema, wire: unknown) => decodeData(define(schema), wire)
  for (const none of [undefined, null, []]) t.strictSame(decode(object({ ID: int }), none), { data: {}, mismatches: 0 })
  for (const none of [undefined, null, [], '']) t.strictSame(decode(nothing, none), { data: undefined, mismatches: 0 })
  t.strictSame(decode(nothing, { a: '1' }), { data: { a: '1' }, mismatches: 1 })
  t.strictSame(decode(int, '107'), { data: 107, mismatches: 0 })
  t.strictSame(decode(int, undefined), { data: undefined, mismatches: 0 })
  t.strictSame(decode(object({ ID: int }), 'x'), { data: 'x', mismatches: 1 })
  t.strictSame(decodeData(undefined, { FIELDS: { ID: '1' } }), { data: { FIELDS: { ID: '1' } }, mismatches: 0 })
  t.strictSame(decodeData(undefined, undefined), { data: undefined, mismatches: 0 })
})

t.test('secrets can be read but are not enumerable', async t => {
  const token = secret()
  const wire = {
    BOT: { 7: { access_token: token, AUTH: { application_token: token }, BOT_ID: '7', extra: { refresh_token: token } } },
    APPLICATION_TOKEN: token
  }
  const { data, mismatches } = decodeData(catalogue.onImBotMessageAdd, wire)
  const { BOT, APPLICATION_TOKEN } = data as typeof wire
  t.equal(mismatches, 0)
  t.strictSame([BOT[7].access_token, BOT[7].AUTH.application_token, BOT[7].extra.refresh_token, APPLICATION_TOKEN], Array(4).fill(token))
  t.strictSame({ ...data as object }, { BOT: { 7: { AUTH: {}, BOT_ID: 7, extra: {} } } })
  t.equal(JSON.stringify(data), '{"BOT":{"7":{"AUTH":{},"BOT_ID":7,"extra":{}}}}')
  t.equal(JSON.stringify(decodeData(undefined, wire).data), '{"BOT":{"7":{"AUTH":{},"BOT_ID":"7","extra":{}}}}')
  t.equal(JSON.stringify(decodeData(catalogue.onBookingAdd, { ID: { access_token: token } }).data), '{"ID":{}}')
})

t.test('prototype keys have no effect', async t => {
  const wire = JSON.parse('{"__proto__":{"polluted":"1"},"constructor":"1","FIELDS":{"ID":"1","__proto__":{"polluted":"1"}}}')
  for (const definition of [catalogue.onCrmDealAdd, catalogue.onCrmTimelineItemAction, catalogue.onImBotContextGet, undefined]) {
    const { data } = decodeData(definition, wire)
    t.equal(Object.getPrototypeOf(data), Object.prototype)
    t.strictSame(Object.keys(data as object), ['constructor', 'FIELDS'])
    t.equal((data as { polluted?: string }).polluted, undefined)
  }
  t.equal(Object.getPrototypeOf(decodeData(define(mapOf(unknown)), wire).data), Object.prototype)
})

t.test('values nested too deep are omitted', async t => {
  const deep = (levels: number): unknown => levels === 0 ? 'bottom' : { down: deep(levels - 1) }
  t.equal(decodeData(undefined, deep(32)).mismatches, 0)
  t.equal(decodeData(undefined, deep(33)).mismatches, 1)
  t.notMatch(JSON.stringify(decodeData(catalogue.onTaskAdd, deep(1000))), 'bottom')
})

t.test('no input makes it throw or changes a prototype', async t => {
  const key = fc.oneof(
    fc.constantFrom('FIELDS', 'ID', 'BOT', 'PARAMS', 'AUTH', 'DATA', 'MESSAGES', 'message', 'chat', 'user', 'phones', 'departments', 'FIELDS_BEFORE', '0', '7'),
    fc.constantFrom('__proto__', 'constructor', 'prototype', 'toString', 'access_token', ''), fc.string({ maxLength: 4 })
  )
  const scalar = fc.oneof(fc.string(), fc.constantFrom('0', '1', 'Y', 'undefined', '', '12'), fc.integer(), fc.double(), fc.boolean(), fc.constant(null))
  const { tree } = fc.letrec(tie => ({
    tree: fc.oneof({ depthSize: 'medium', withCrossShrink: true }, scalar, tie('list'), tie('map')),
    list: fc.array(tie('tree'), { maxLength: 4 }),
    map: fc.array(fc.tuple(key, tie('tree')), { maxLength: 6 }).map(pairs => {
      const map: Record<string, unknown> = Object.create(null)
      for (const [name, value] of pairs) map[name] = value
      return map
    })
  }))
  const kept = (value: unknown): boolean => {
    if (typeof value !== 'object' || value === null) return true
    const prototype = Object.getPrototypeOf(value)
    return (prototype === Object.prototype || prototype === Array.prototype) && !Object.hasOwn(value, '__proto__') && Object.values(value).every(kept)
  }
  const keys = Reflect.ownKeys(Object.prototype).length
  t.doesNotThrow(() => fc.assert(fc.property(tree, wire => {
    for (const definition of [...Object.values(catalogue), undefined]) {
      const { data, mismatches } = decodeData(definition, wire)
      if (!kept(data) || mismatches < 0) return false
    }
    return Reflect.ownKeys(Object.prototype).length === keys
  }), { numRuns: 200 }))
})

t.test('the id of a message of an open channel stays one, or a list', async t => {
  const idOf = (id: unknown) => {
    const { data, mismatches } = decodeData(definitionOf('onOpenLineMessageDelete'), { DATA: [{ chat: { id: '5' }, message: { id } }] })
    return [(data as { DATA: Array<{ message: { id: unknown } }> }).DATA[0]?.message.id, mismatches]
  }
  t.strictSame(idOf(2056), [2056, 0])
  t.strictSame(idOf('2056'), [2056, 0])
  t.strictSame(idOf(['2056', '2057']), [[2056, 2057], 0])
  t.strictSame(idOf('external-7'), ['external-7', 0])
})
