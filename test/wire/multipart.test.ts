import t from 'tap'
import { decodeForm } from '../../src/wire/form.ts'
import { decodeMultipart } from '../../src/wire/multipart.ts'

const TYPE = 'multipart/form-data; boundary=x'

function part (name: string, value: string, more = ''): string {
  return `--x\r\ncontent-disposition: form-data; name="${name}"${more}\r\n\r\n${value}\r\n`
}

t.test('decodes fields like a url-encoded form', async t => {
  const body = `${part('a', '1')}${part('b[c]', 'ü &=%41+')}${part('empty', '')}--x--\r\n`
  t.strictSame(await decodeMultipart(TYPE, Buffer.from(body)), decodeForm('a=1&b%5Bc%5D=%C3%BC+%26%3D%2541%2B&empty='))
  t.strictSame(await decodeMultipart(TYPE, Buffer.from('--x\r\ncontent-disposition: form-data\r\n\r\nno name\r\n--x--')), decodeForm(''))
})

t.test('rejects anything else', async t => {
  const many = (count: number): string => Array.from({ length: count }, (_, index) => part(`k${index}`, '')).join('')
  const cases: Array<[what: string, body: string, code: string, type?: string]> = [
    ['nothing', '', 'FST_B24_FORM_KEY'],
    ['no boundary', part('a', '1'), 'FST_B24_FORM_KEY', 'multipart/form-data'],
    ['no parts', 'a=1', 'FST_B24_FORM_KEY'],
    ['no end', part('a', '1'), 'FST_B24_FORM_KEY'],
    ['a file', `${part('a', '1', '; filename="a.txt"')}--x--`, 'FST_B24_FORM_KEY'],
    ['a prototype key', `${part('__proto__', '1')}--x--`, 'FST_B24_FORM_KEY'],
    ['a key twice', `${part('a', '1')}${part('a', '2')}--x--`, 'FST_B24_FORM_KEY'],
    ['a long key', `${part('k'.repeat(2000), '1')}--x--`, 'FST_B24_FORM_LIMIT'],
    ['101 fields', `${many(101)}--x--`, 'FST_B24_FORM_LIMIT'],
    ['3,000 parts of no kind', `${'--x\r\n\r\n\r\n'.repeat(3000)}--x--`, 'FST_B24_FORM_LIMIT']
  ]
  for (const [what, body, code, type = TYPE] of cases) await t.rejects(decodeMultipart(type, Buffer.from(body)), { code }, what)
  t.equal(Object.keys(await decodeMultipart(TYPE, Buffer.from(`${many(100)}--x--`))).length, 100)
})

t.test('reading stops at the first limit', async t => {
  const flood = Buffer.from('--x\r\n\r\n\r\n'.repeat(37_000))
  let read = 0
  const subarray = flood.subarray.bind(flood)
  flood.subarray = (from, to) => {
    read = Math.max(read, to ?? 0)
    return subarray(from, to)
  }
  await t.rejects(decodeMultipart(TYPE, flood), { code: 'FST_B24_FORM_LIMIT' })
  t.ok(read > 0 && read < 8_192, `${read} of ${flood.length} bytes`)
})

t.test('settles for any body', async t => {
  const whole = Buffer.from(`${part('a', '1')}${part('b', '2')}--x--\r\n`)
  for (let end = 0; end < whole.length; end++) {
    const body = Buffer.from(whole.subarray(0, end))
    if (end > 0) body[(end * 7) % end] = end
    await decodeMultipart(TYPE, body).catch((error: { code: string }) => t.match(error.code, /^FST_B24_FORM_/))
  }
})
