import { readFileSync } from 'node:fs'
import { inspect, isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { decodeForm } from '../../src/wire/form.ts'
import type { WireMap, WireValue } from '../../src/wire/form-tree.ts'
import { encodeForm } from '../../src/testing/portal/form.ts'
import { hasPhp } from '../helpers/php.ts'
import { askPhp, soups, toMap, trees } from '../helpers/php-forms.ts'
import { CountingText } from '../helpers/counting-text.ts'
import { DIFFERENT, SAME_AS_PHP } from './awkward.ts'

const kept: { php: string, built: Array<[WireMap, string]>, parsed: Array<[string, WireMap]> } =
  JSON.parse(readFileSync(new URL('php-vectors.json', import.meta.url), 'utf8'))
const keptBodies = new Map(kept.parsed.map(([body, tree]) => [body, toMap(tree)]))

/** Returns the result of the decoder, or the code of its error. */
function outcome (body: string): unknown {
  try {
    return decodeForm(body)
  } catch (error) {
    return (error as { code: string }).code
  }
}

const refusal = (code: string, message: string) => ({ code, message, statusCode: 400 })
const map = (tree: object) => toMap(tree as WireMap)

/** PHP rewrites text after an unclosed bracket, the only thing in random bodies that it rewrites. */
function withPhpNames (tree: WireMap): WireMap {
  return map(Object.fromEntries(Object.entries(tree).map(([name, value]) => [name.replaceAll('[', '_'), value])))
}

t.test('decodes what PHP encodes, as PHP does', t => {
  for (const [tree, body] of kept.built) {
    if (!isDeepStrictEqual(decodeForm(body), keptBodies.get(body))) t.fail(JSON.stringify(tree))
  }
  t.pass(`${kept.built.length} trees that PHP ${kept.php} encoded`)
  if (hasPhp) {
    const seed = Date.now()
    const random = fc.sample(trees, { numRuns: 400, seed }).map(tree => JSON.parse(JSON.stringify(tree)))
    const { version, built } = askPhp(random, [])
    const { parsed } = askPhp([], built)
    for (const [index, body] of built.entries()) {
      if (!isDeepStrictEqual(decodeForm(body), parsed[index])) t.fail(`seed ${seed}: ${body}`)
    }
    t.pass(`${built.length} trees of now, with PHP ${version}`)
  } else {
    t.comment(`No php on this machine: held against what PHP ${kept.php} made when the vectors were written`)
  }
  t.end()
})

t.test('reads awkward bodies as PHP does', t => {
  for (const body of SAME_AS_PHP) t.strictSame(decodeForm(body), keptBodies.get(body), body.slice(0, 40) || 'nothing')
  t.end()
})

t.test('differs from PHP only on purpose', t => {
  for (const { why, body, php, ours } of DIFFERENT) {
    t.strictSame(keptBodies.get(body), map(php as object), `PHP: ${body}`)
    t.strictSame(outcome(body), typeof ours === 'string' ? ours : map(ours as object), why)
  }
  t.end()
})

t.test('reads any mix of brackets and escapes like PHP, or rejects it', t => {
  const seed = Date.now()
  const random = hasPhp ? fc.sample(soups, { numRuns: 1500, seed }) : [...keptBodies.keys()].filter(body => !DIFFERENT.some(each => each.body === body))
  const parsed = hasPhp ? askPhp([], random).parsed : random.map(body => keptBodies.get(body))
  if (!hasPhp) t.comment(`No php on this machine: held against the mixes that PHP ${kept.php} read when the vectors were written`)
  let refused = 0
  for (const [index, body] of random.entries()) {
    const ours = outcome(body)
    if (typeof ours === 'string') {
      refused++
      if (ours !== 'FST_B24_FORM_KEY') t.fail(`seed ${seed}: ${ours} for ${body}`)
    } else if (!isDeepStrictEqual(withPhpNames(ours as WireMap), parsed[index])) {
      t.fail(`seed ${seed}: ${body}`)
    }
  }
  t.ok(refused < random.length / 2, `${random.length} bodies, ${refused} refused`)
  t.end()
})

t.test('keeps the vectors up to date', t => {
  const bodies = [...SAME_AS_PHP, ...DIFFERENT.map(({ body }) => body)]
  t.strictSame(bodies.filter(body => !keptBodies.has(body)), [])
  if (hasPhp) t.strictSame(askPhp([], bodies).parsed, bodies.map(body => keptBodies.get(body)))
  else t.comment('No php on this machine: the vectors are not asked for anew')
  t.end()
})

t.test('decodes the documented event', t => {
  const body = 'event=ONCRMDYNAMICITEMUPDATE&event_handler_id=5&data%5BFIELDS%5D%5BID%5D=24&data%5BFIELDS%5D%5BENTITY_TYPE_ID%5D=1220&ts=1723538517&auth%5Bscope%5D=crm%2Ctask&auth%5Bclient_endpoint%5D=https%3A%2F%2Fsome-domain.bitrix24.com%2Frest%2F'
  const tree = {
    event: 'ONCRMDYNAMICITEMUPDATE',
    event_handler_id: '5',
    data: { FIELDS: { ID: '24', ENTITY_TYPE_ID: '1220' } },
    ts: '1723538517',
    auth: { scope: 'crm,task', client_endpoint: 'https://some-domain.bitrix24.com/rest/' }
  }
  t.strictSame(decodeForm(body), map(tree))
  t.strictSame(decodeForm(decodeURIComponent(body)), map(tree), 'brackets as they are')
  t.equal(encodeForm(tree), body)
  t.end()
})

t.test('maps have no prototype and lists are arrays', t => {
  const tree = decodeForm('a[b][c]=1&l[0][x]=1&l[1]=2&m[0]=1&m[k]=2&e[]=1')
  t.equal(Object.getPrototypeOf(tree), null)
  for (const inner of [tree['a'], (tree['a'] as WireMap)['b'], (tree['l'] as WireValue[])[0], tree['m']]) t.equal(Object.getPrototypeOf(inner), null)
  t.ok(Array.isArray(tree['l']))
  t.ok(Array.isArray(tree['e']))
  t.end()
})

t.test('rejects input that no genuine body contains', t => {
  const deep = (levels: number) => `a${'[x]'.repeat(levels - 1)}=1`
  const fields = (count: number) => Array.from({ length: count }, (_, index) => `k${index}=1`).join('&')
  const prototype = refusal('FST_B24_FORM_KEY', 'Invalid key in request body: a prototype key')
  const repeated = refusal('FST_B24_FORM_KEY', 'Invalid key in request body: a repeated key')
  const clash = refusal('FST_B24_FORM_KEY', 'Invalid key in request body: a value in place of a map')
  const depth = refusal('FST_B24_FORM_LIMIT', 'Request body exceeds a limit: depth')
  const tooMany = refusal('FST_B24_FORM_LIMIT', 'Request body exceeds a limit: fields')
  const tooLong = refusal('FST_B24_FORM_LIMIT', 'Request body exceeds a limit: key length')
  const refused: Array<[body: string, error: ReturnType<typeof refusal>]> = [
    ['__proto__=1', prototype], ['__proto__[x]=1', prototype], ['__proto__%5Bx%5D=1', prototype], ['a[__proto__]=1', prototype],
    ['a[__proto__][x]=1', prototype], ['a%5B__proto__%5D%5Bx%5D=1', prototype], ['%5F%5Fproto%5F%5F=1', prototype], ['a[%5f_proto__]=1', prototype],
    ['a[0]=1&a[__proto__]=2', prototype], ['a[b]=1&a[__proto__]=2', prototype], ['constructor[prototype][x]=1', prototype],
    ['a[constructor]=1', prototype], ['a[prototype]=1', prototype], ['prototype=1', prototype], ['auth[toString]=1', prototype],
    ...Object.getOwnPropertyNames(Object.prototype).map((key): [string, typeof prototype] => [`auth[${key}]=1`, prototype]),
    ['event=A&event=B', repeated], ['event=A&%65vent=B', repeated], ['event&event', repeated], ['auth[application_token]=1&auth[application_token]=2', repeated],
    ['auth[application_token]=1&auth%5Bapplication_token%5D=2', repeated], ['auth[a]=1&auth[b]=1&auth[a]=2', repeated], ['a[0]=1&a[0]=2', repeated], ['a[x][y]=1&a[x][y]z=2', repeated],
    ['auth=x&auth[y]=1', clash], ['auth[y]=1&auth=x', clash], ['a[0]=1&a[0][x]=2', clash], ['a[0][x]=1&a[0]=2', clash], ['a[b][x]=1&a[b][c=2', clash], ['a[b]=1&a[b][]=2', clash],
    ['a[x]=1&a[]=2', refusal('FST_B24_FORM_KEY', 'Invalid key in request body: an element without a key in a map')],
    [deep(17), depth], [deep(50), depth], [`a${'[]'.repeat(16)}=1`, depth], [`a${'%5B0%5D'.repeat(50)}=1`, depth], [`${deep(16)}&${deep(17)}`, depth],
    [fields(1001), tooMany], [fields(100000), tooMany], ['=&'.repeat(1001), tooMany], ['a[]=1&'.repeat(1001), tooMany],
    ['a'.repeat(1025), tooLong], [`${'a'.repeat(1025)}=1`, tooLong], [`a[${'x'.repeat(1023)}]=1`, tooLong], [`a[${'%20'.repeat(341)}]=1`, tooLong],
    ['['.repeat(262144), tooLong], ['%5B'.repeat(87381), tooLong], [`a=1&${'%'.repeat(5000)}`, tooLong]
  ]
  for (const [body, error] of refused) t.throws(() => decodeForm(body), error, body.slice(0, 60))
  t.end()
})

t.test('accepts input just within the limits', t => {
  t.equal(JSON.stringify(decodeForm(`a${'[x]'.repeat(15)}=1`)), `{"a":${'{"x":'.repeat(15)}"1"${'}'.repeat(15)}}`)
  t.equal(Object.keys(decodeForm(Array.from({ length: 1000 }, (_, index) => `k${index}=1`).join('&'))).length, 1000)
  t.strictSame(decodeForm(`${'a'.repeat(1024)}=1`), map({ ['a'.repeat(1024)]: '1' }))
  t.strictSame(decodeForm('a'.repeat(1024)), map({ ['a'.repeat(1024)]: '' }))
  t.equal((decodeForm('a[]=1&'.repeat(1000))['a'] as WireValue[]).length, 1000)
  t.strictSame(decodeForm('ts=1e999&n=99999999999999999999999999'), map({ ts: '1e999', n: '99999999999999999999999999' }))
  t.strictSame(decodeForm('a[constructors]=1&a[proto]=2&a[Prototype]=3'), map({ a: { constructors: '1', proto: '2', Prototype: '3' } }))
  t.end()
})

t.test('decodes a long text', t => {
  const texts = ['я'.repeat(3000), 'x+y '.repeat(2000), '😀 %+&='.repeat(400), 'é'.repeat(128)]
  for (const text of texts) t.strictSame(decodeForm(encodeForm({ m: { text } })), map({ m: { text } }))
  t.strictSame(decodeForm(`a=${'é'.repeat(5000)}%C3%A9+`), map({ a: `${'é'.repeat(5001)} ` }), 'not escaped, and longer than the buffer')
  t.end()
})

t.test('reads every character a bounded number of times', t => {
  const size = 262144
  const fill = (piece: string, start = '') => start + piece.repeat(Math.floor((size - start.length) / piece.length))
  const bodies = [
    ...['[', ']', '%5B', '%5D', '&', '=', '%', '+', 'é', 'a', '[]', 'a[', 'a=', '%5B=', '=&', 'a[]&', '%%5B', '&[', '+&', 'a[0]=%&', 'a[x]=&a[b&'].map(piece => fill(piece)),
    ...['=', '%', '+', '[', ']', '%D1%8F', '%FF', '%4', 'é%', 'x'].map(piece => fill(piece, 'a[b]=')),
    // The maximum number of fields, so that the searched character is far away.
    Array.from({ length: 1000 }, (_, index) => `a[b][${index}]=${'x'.repeat(240)}`).join('&'),
    Array.from({ length: 1000 }, (_, index) => `${'k'.repeat(240)}[${index}]=%`).join('&'),
    Array.from({ length: 1000 }, (_, index) => `${'k'.repeat(240)}[${index}&+`).join('&'),
    Array.from({ length: 1000 }, (_, index) => `a${index}[${'x'.repeat(240)}`).join('&') + ']=1%5D'
  ]
  for (const body of bodies) {
    const text = new CountingText(body)
    try {
      decodeForm(text as unknown as string)
    } catch (error) {
      t.match(error, { statusCode: 400 })
    }
    t.ok(text.reads <= body.length * 12, `${(text.reads / body.length).toFixed(2)} reads a character: ${body.slice(0, 30)}`)
  }
  const text = new CountingText(Array.from({ length: 100000 }, (_, index) => `k${index}=1`).join('&'))
  t.throws(() => decodeForm(text as unknown as string), { code: 'FST_B24_FORM_LIMIT' })
  t.ok(text.reads < text.length * 4, 'a hundred thousand fields are refused at the first thousand')
  t.end()
})

t.test('returns or throws a known error for any input, and changes no prototype', t => {
  const prototypes = [Object.prototype, Array.prototype, String.prototype, Function.prototype]
  const shapes = () => prototypes.map(prototype => Object.getOwnPropertyDescriptors(prototype))
  const before = shapes()
  const hostile = fc.array(fc.constantFrom(
    '__proto__', 'constructor', 'prototype', 'toString', 'length', '%00', '\0', '%', '%F', '%FF', '%5B', '%5D', '[', ']', '[]', '=', '&', '+', '.', ' ', '0', '1', '-1', '4294967295', 'a', 'я', '\ud800', '😀'
  ), { maxLength: 40 }).map(pieces => pieces.join(''))
  const bytes = fc.uint8Array({ maxLength: 200 }).map(each => Buffer.from(each).toString('latin1'))
  const any = fc.oneof(hostile, soups, bytes, fc.string({ unit: 'binary', maxLength: 100 }), fc.webQueryParameters())
  fc.assert(fc.property(any, body => {
    const ours = outcome(body)
    if (typeof ours === 'string') return ours === 'FST_B24_FORM_KEY' || ours === 'FST_B24_FORM_LIMIT'
    return isClean(ours as WireMap)
  }), { numRuns: 4000 })
  t.ok(isDeepStrictEqual(shapes(), before))
  t.end()
})

function isClean (value: WireValue): boolean {
  if (typeof value === 'string') return true
  if (Array.isArray(value)) return value.every(isClean)
  return Object.getPrototypeOf(value) === null && Object.values(value as WireMap).every(isClean)
}

t.test('errors reveal no key and no value of the body', t => {
  const canary = 'canary7'
  const bodies = [
    `${canary}=1&${canary}=2`, `a[${canary}]=1&a[${canary}]=2`, `${canary}=1&${canary}[x]=2`, `a[__proto__]=${canary}`,
    `a${`[${canary}]`.repeat(20)}=1`, `${canary.repeat(200)}=1`, `${canary}=1&`.replace('=1', '[]=1').repeat(1001), `a[x]=${canary}&a[]=${canary}`
  ]
  for (const body of bodies) {
    const error = t.throws(() => decodeForm(body), /\bbody\b/)
    t.notOk(inspect(error, { depth: null }).includes(canary))
  }
  t.end()
})
