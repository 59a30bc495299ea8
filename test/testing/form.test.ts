import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import t from 'tap'
import { encodeForm } from '../../src/testing/portal/form.ts'
import { hasPhp } from '../helpers/php.ts'
import { askPhp, trees } from '../helpers/php-forms.ts'

const kept: { php: string, built: Array<[unknown, string]> } = JSON.parse(readFileSync(new URL('../wire/php-vectors.json', import.meta.url), 'utf8'))

t.test('writes what http_build_query writes, byte for byte', t => {
  for (const [tree, body] of kept.built) t.equal(encodeForm(tree), body)
  if (hasPhp) {
    const seed = Date.now()
    const random = fc.sample(trees, { numRuns: 400, seed }).map(tree => JSON.parse(JSON.stringify(tree)))
    const { version, built } = askPhp(random, [])
    const different = built.filter((body, index) => encodeForm(random[index]) !== body)
    t.strictSame(different, [], `${built.length} trees of now, with PHP ${version}, seed ${seed}`)
  } else {
    t.comment(`No php on this machine: held against what PHP ${kept.php} made when the vectors were written`)
  }
  t.end()
})

t.test('writes each kind of value as Bitrix24 sends it', t => {
  const rows: Array<[tree: unknown, body: string]> = [
    [{ s: 'a b+c&d=é~*-_."\n' }, 's=a+b%2Bc%26d%3D%C3%A9%7E%2A-_.%22%0A'],
    [{ s: "!'()/?:@,;" }, 's=%21%27%28%29%2F%3F%3A%40%2C%3B'],
    [{ a: null, b: undefined, c: [], d: {}, e: { f: [], g: { h: null } } }, ''],
    [{ s: '' }, 's='], [{ t: true, f: false }, 't=1&f=0'],
    [{ k: ['x', 'y'] }, 'k%5B0%5D=x&k%5B1%5D=y'], [{ k: [null, 'y'] }, 'k%5B1%5D=y'],
    [{ k: { 567: { x: 1 } } }, 'k%5B567%5D%5Bx%5D=1'], [{ 'x y~': { 'a[b]': 1 } }, 'x+y%7E%5Ba%5Bb%5D%5D=1'],
    [{ i: 5, z: -0, m: Number.MAX_SAFE_INTEGER, b: 9223372036854775807n }, 'i=5&z=0&m=9007199254740991&b=9223372036854775807'],
    [{ f: 0.1, g: 1e20, h: 1.5e-7, i: 1 / 3, j: 123456789.12345679, k: -2.5e-5, l: 0.0001, m: 1.5e300 }, 'f=0.1&g=1.0E%2B20&h=1.5E-7&i=0.33333333333333&j=123456789.12346&k=-2.5E-5&l=0.0001&m=1.5E%2B300'],
    [{ n: NaN, i: Infinity, j: -Infinity }, 'n=NAN&i=INF&j=-INF'],
    [{ half: 'x\ud800y' }, 'half=x%EF%BF%BDy'], [{ pair: '😀' }, 'pair=%F0%9F%98%80'],
    [{}, ''], ['text', ''], [null, '']
  ]
  for (const [tree, body] of rows) t.equal(encodeForm(tree), body)
  t.end()
})
