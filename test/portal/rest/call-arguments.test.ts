import fc from 'fast-check'
import t from 'tap'
import { copyParams, encodeQuery } from '../../../src/portal/rest/call-arguments.ts'
import { hasPhp, php } from '../../helpers/php.ts'

const METHOD = 'crm.item.update'
const code = { code: 'FST_B24_INVALID_CALL' }
const circle: Record<string, unknown> = {}
circle['again'] = circle

class Deal {
  title = 'A deal'
  describe () { return this.title }
}

t.test('copies parameters as JSON does', t => {
  const cases: Array<[what: string, given: object, sent: unknown]> = [
    ['what JSON has', { a: 'x', b: 1.5, c: true, d: false, e: null, f: [], g: {} }, { a: 'x', b: 1.5, c: true, d: false, e: null, f: [], g: {} }],
    ['undefined in a map is left out', { a: undefined, b: { c: undefined } }, { b: {} }],
    ['a date', { at: new Date('2026-12-01T04:15:29Z') }, { at: '2026-12-01T04:15:29.000Z' }],
    ['a bigint', { id: 12345678901234567890n }, { id: '12345678901234567890' }],
    ['what has a toJSON', { url: new URL('https://acme.example/a') }, { url: 'https://acme.example/a' }],
    ['an instance of a class', { fields: new Deal() }, { fields: { title: 'A deal' } }],
    ['half of an emoji', { title: '\ud83d' }, { title: '\ufffd' }],
    ['a list', [1, { ID: 'asc' }], [1, { ID: 'asc' }]],
    ['the same twice', { a: circle['none'] ?? [1], b: [1] }, { a: [1], b: [1] }]
  ]
  for (const [what, given, sent] of cases) t.strictSame(copyParams(METHOD, given), sent, what)
  t.strictSame(copyParams(METHOD), {}, 'none')
  const given = { fields: { title: 'before' } }
  const copied = copyParams(METHOD, given)
  given.fields.title = 'after'
  t.strictSame(copied, { fields: { title: 'before' } }, 'what is changed after the call is not sent')
  t.end()
})

t.test('rejects values that JSON would change or drop, naming the parameter without its value', t => {
  const cases: Array<[given: unknown, message: RegExp]> = [
    [{ fields: { n: NaN } }, /parameter 'fields\[n\]' is NaN/],
    [{ n: -Infinity }, /'n' is -Infinity/],
    [{ ids: [1, undefined] }, /'ids\[1\]' is undefined/],
    [{ ids: Array(2) }, /'ids\[0\]' is undefined/],
    [{ f: () => 'secret' }, /'f' is a function/],
    [{ f: Symbol('secret') }, /'f' is a symbol/],
    [{ file: Buffer.from('secret') }, /'file' is a Buffer/],
    [{ file: new Uint8Array(2) }, /'file' is a Uint8Array/],
    [{ m: new Map([['secret', 1]]) }, /'m' is a Map/],
    [{ m: new Set() }, /'m' is a Set/],
    [{ p: Promise.resolve() }, /'p' is a Promise/],
    [{ e: new Error('secret') }, /'e' is a Error/],
    [{ r: /secret/ }, /'r' is a RegExp/],
    [{ at: new Date('secret') }, /'at' is an invalid date/],
    [circle, /levels deep, or circular/],
    [{ a: { toJSON () { return { toJSON: this.toJSON } } } }, /levels deep, or circular/],
    [{ a: { toJSON: () => undefined } }, /is undefined/],
    ['text', /must be an object or an array/],
    [5, /must be an object or an array/],
    [null, /must be an object or an array/],
    [new Map(), /must be an object or an array/],
    [new Date(), /must be an object or an array/],
    [() => {}, /must be an object or an array/]
  ]
  for (const [given, message] of cases) {
    t.throws(() => copyParams(METHOD, given), { ...code, message }, String(message))
    t.throws(() => copyParams(METHOD, given), { message: /^(?!.*secret)/ })
  }
  t.end()
})

t.test('encodes booleans in a query as methods expect them', t => {
  t.equal(encodeQuery('user.update', { ID: 5, ACTIVE: false, fields: { OPENED: true } }), 'ID=5&ACTIVE=N&fields%5BOPENED%5D=Y')
  t.equal(encodeQuery(METHOD, { filter: {}, select: [], id: 1 }), 'id=1', 'an empty filter is none')
  t.equal(encodeQuery(METHOD, {}), '')
  t.end()
})

t.test('rejects what a query cannot encode, naming the parameter', t => {
  const cases: Array<[given: object, message: RegExp]> = [
    [{ fields: { UF: null } }, /'fields\[UF\]' is null/],
    [{ id: null }, /'id' is null/],
    [{ fields: { PHONE: [] } }, /'fields\[PHONE\]' is empty/],
    [[5, {}], /'1' is empty/],
    [{ 'fields[TITLE]': 'x' }, /'fields\[TITLE\]' has a name/],
    [{ 'a.b': 1 }, /has a name/],
    [{ ' a': 1 }, /has a name/],
    [{ f: { '': 1 } }, /has a name/],
    [{ f: { 'a]b': 1 } }, /has a name/],
    [{ ids: Array.from({ length: 1_001 }, (_, id) => id) }, /more than 1000 values/]
  ]
  for (const [given, message] of cases) t.throws(() => encodeQuery(METHOD, given), { ...code, message }, String(message))
  t.end()
})

t.test('PHP parses a query into the original parameters', { skip: !hasPhp && 'no php' }, t => {
  const name = fc.oneof(fc.string({ maxLength: 6 }), fc.string({ unit: 'binary', maxLength: 4 }), fc.stringMatching(/^[!<>=%@]{0,2}[A-Z_ .[\]0-9]{1,6}$/))
  const leaf = fc.oneof(fc.string({ unit: 'binary' }), fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true }), fc.boolean())
  const { tree } = fc.letrec<{ tree: unknown }>(tie => ({
    tree: fc.oneof({ depthSize: 'small' }, leaf, fc.array(tie('tree'), { maxLength: 4 }), fc.dictionary(name, tie('tree'), { maxKeys: 4 }))
  }))
  const samples = fc.sample(fc.dictionary(name, tree, { maxKeys: 4 }), { numRuns: 3_000, seed: 14 })
  const queries: string[] = []
  const wanted: unknown[] = []
  for (const sample of samples) {
    const params = copyParams(METHOD, sample)
    try {
      queries.push(encodeQuery(METHOD, params))
      wanted.push(asText(params, true))
    } catch (error) {
      t.match(error, code)
    }
  }
  t.ok(queries.length > 500, `${queries.length} of ${samples.length}`)
  const script = 'foreach (json_decode(stream_get_contents(STDIN)) as $q) { parse_str($q, $v); $all[] = $v; } echo json_encode(array_map("serialize", $all));'
  const expected = 'foreach (json_decode(stream_get_contents(STDIN), true) as $v) $all[] = $v; echo json_encode(array_map("serialize", $all));'
  t.strictSame(JSON.parse(php(script, JSON.stringify(queries))), JSON.parse(php(expected, JSON.stringify(wanted))))
  t.end()
})

t.test('PHP writes the same query', { skip: !hasPhp && 'no php' }, t => {
  const params = { id: 5, filter: { '>=opportunity': 10.5, '@stage': ['NEW', 'WON'], '%title': 'a & b = c?' }, select: ['ID', '*', 'UF_*'] }
  const query = php('echo http_build_query(json_decode(stream_get_contents(STDIN), true), "", "&", PHP_QUERY_RFC3986);', JSON.stringify(params))
  t.equal(decodeURIComponent(encodeQuery(METHOD, params)), decodeURIComponent(query))
  t.end()
})

/** Parameters as a query can express them. */
function asText (value: unknown, isTop = false): unknown {
  if (typeof value === 'boolean') return value ? 'Y' : 'N'
  if (typeof value !== 'object' || value === null) return String(value)
  if (Array.isArray(value)) return value.map(item => asText(item))
  const entries = Object.entries(value).filter(([, item]) => !isTop || typeof item !== 'object' || Object.keys(item as object).length > 0)
  return Object.fromEntries(entries.map(([name, item]) => [name, asText(item)]))
}
