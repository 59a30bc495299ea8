import { inspect } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { decodeForm } from '../../src/wire/form.ts'
import { decodeJson } from '../../src/wire/json.ts'
import type { WireMap } from '../../src/wire/form-tree.ts'
import { encodeForm } from '../../src/testing/portal/form.ts'
import { toMap } from '../helpers/php-forms.ts'

const map = (tree: object) => toMap(tree as WireMap)

t.test('decodes the shape of a form', t => {
  const tree = { event: 'ONIMBOTV2MESSAGEADD', data: { bot: { id: '7' }, list: ['a', 'b'] }, auth: { member_id: 'm' } }
  const decoded = decodeJson(JSON.stringify(tree))
  t.strictSame(decoded, map(tree))
  t.strictSame(decoded, decodeForm(encodeForm(tree)))
  t.equal(Object.getPrototypeOf(decoded), null)
  t.equal(Object.getPrototypeOf((decoded['data'] as WireMap)['bot']), null)
  t.end()
})

t.test('keeps the types of JSON', t => {
  const tree = { ts: 1723538517, flag: true, no: false, nothing: null, list: [1, 'x', [], {}], map: {}, half: 0.5, nul: '\0' }
  t.strictSame(decodeJson(JSON.stringify(tree)), map(tree))
  t.strictSame(decodeJson(' {} '), map({}))
  t.strictSame(decodeJson('{"event":"A","event":"B"}'), map({ event: 'B' }), 'of a repeated key the last value counts: JSON.parse tells no more')
  t.end()
})

t.test('rejects non-objects and bodies that are not genuine', t => {
  const nested = (levels: number) => '{"a":'.repeat(levels) + '1' + '}'.repeat(levels)
  const list = (length: number) => `{"a":[${Array.from({ length }, () => 1).join(',')}]}`
  const refused: Array<[body: string, code: string, message: string]> = [
    ['', 'FST_B24_JSON', 'Request body is not valid JSON'],
    ['{', 'FST_B24_JSON', 'Request body is not valid JSON'],
    ['event=A', 'FST_B24_JSON', 'Request body is not valid JSON'],
    ['{"a":NaN}', 'FST_B24_JSON', 'Request body is not valid JSON'],
    ['['.repeat(262144), 'FST_B24_JSON', 'Request body is not valid JSON'],
    ...['[]', '[{"event":"A"}]', '1', '"x"', 'null', 'true'].map((body): [string, string, string] =>
      [body, 'FST_B24_ENVELOPE', 'Invalid event: body must be an object']),
    ...['__proto__', 'constructor', 'prototype', 'toString', '\\u005f_proto__'].flatMap((key): Array<[string, string, string]> =>
      [`{"${key}":1}`, `{"a":[{"${key}":{"x":1}}]}`].map(body => [body, 'FST_B24_FORM_KEY', 'Invalid key in request body: a prototype key'])),
    [nested(17), 'FST_B24_FORM_LIMIT', 'Request body exceeds a limit: depth'],
    [`{"a":${'['.repeat(16)}${']'.repeat(16)}}`, 'FST_B24_FORM_LIMIT', 'Request body exceeds a limit: depth'],
    [`{"a":${'['.repeat(99999)}${']'.repeat(99999)}}`, 'FST_B24_FORM_LIMIT', 'Request body exceeds a limit: depth'],
    [list(1000), 'FST_B24_FORM_LIMIT', 'Request body exceeds a limit: fields'],
    [JSON.stringify(Object.fromEntries(Array.from({ length: 100000 }, (_, index) => [`k${index}`, 1]))), 'FST_B24_FORM_LIMIT', 'Request body exceeds a limit: fields'],
    [`{"${'k'.repeat(1025)}":1}`, 'FST_B24_FORM_LIMIT', 'Request body exceeds a limit: key length'],
    ['{"ts":1e999}', 'FST_B24_FORM_LIMIT', 'Request body exceeds a limit: number'],
    ['{"ts":[-1e999]}', 'FST_B24_FORM_LIMIT', 'Request body exceeds a limit: number']
  ]
  for (const [body, code, message] of refused) t.throws(() => decodeJson(body), { code, message, statusCode: 400 }, body.slice(0, 40) || 'nothing')
  t.ok(decodeJson(nested(16)))
  t.ok(decodeJson(list(999)))
  t.ok(decodeJson(`{"${'k'.repeat(1024)}":1}`))
  t.end()
})

t.test('returns or throws a known error for any input', t => {
  const any = fc.oneof(fc.string({ unit: 'binary' }), fc.json(), fc.json({ maxDepth: 20 }), fc.array(fc.constantFrom('{', '}', '[', ']', '"a"', '"__proto__"', ':', ',', '1', 'null')).map(pieces => pieces.join('')))
  fc.assert(fc.property(any, body => {
    try {
      return Object.getPrototypeOf(decodeJson(body)) === null
    } catch (error) {
      return /^FST_B24_(JSON|ENVELOPE|FORM_KEY|FORM_LIMIT)$/.test((error as { code: string }).code)
    }
  }), { numRuns: 1000 })
  t.end()
})

t.test('errors reveal nothing of the body', t => {
  for (const body of ['canary7', '{"canary7":canary7}', '{"a":{"__proto__":"canary7"}}', '"canary7"']) {
    const error = t.throws(() => decodeJson(body), /\bbody\b/)
    t.notOk(inspect(error, { depth: null }).includes('canary7'))
  }
  t.end()
})
