import { setMaxListeners } from 'node:events'
import { Readable } from 'node:stream'
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import t from 'tap'
import { readResponse } from '../../../src/portal/rest/read-response.ts'
import { ReadBudget } from '../../../src/portal/rest/read-budget.ts'

const MB = 1024 * 1024

interface Given { body: Buffer | Buffer[], encoding?: string | string[], status?: number, maxBytes?: number, headers?: Record<string, string>, budget?: ReadBudget, signal?: AbortSignal }

async function read ({ body, encoding, status = 200, maxBytes = MB, headers = {}, budget = new ReadBudget(), signal = new AbortController().signal }: Given) {
  const answer = { statusCode: status, headers: { ...headers, 'content-encoding': encoding }, body: Readable.from(Array.isArray(body) ? body : [body]) }
  return await readResponse(answer, { memberId: 'm', method: 'crm.item.list', maxBytes, budget, signal })
}

t.test('reads responses modified by proxies', async t => {
  const value = { result: { name: 'Ганс' } }
  const plain = Buffer.from(JSON.stringify(value))
  const marked = Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), plain])
  const text = plain.toString()
  const cases: Array<[what: string, body: Buffer, encoding?: string | string[]]> = [
    ['plain', plain],
    ['identity', plain, 'identity'],
    ['with a byte order mark', marked],
    ['zipped', gzipSync(plain), 'gzip'],
    ['zipped, with a byte order mark', gzipSync(marked), 'gzip'],
    ['in capitals', gzipSync(plain), 'GZIP'],
    ['by its old name', gzipSync(plain), 'X-GZip'],
    ['deflated', deflateSync(plain), 'deflate'],
    ['deflated without a header', deflateRawSync(plain), 'Deflate'],
    ['brotli', brotliCompressSync(plain), 'br'],
    ['zipped twice', gzipSync(gzipSync(plain)), 'gzip, gzip'],
    ['zipped twice, in two headers', brotliCompressSync(gzipSync(plain)), ['gzip', 'br']],
    ['zipped, unsaid', gzipSync(plain)],
    ['not zipped, but said so', plain, 'gzip'],
    ['not deflated, but said so', plain, 'deflate'],
    ['not brotli, but said so', plain, 'br'],
    ['with white space around it', Buffer.from(`\r\n ${text}\n`), 'gzip'],
    ['UTF-16, little end first', Buffer.from(`\ufeff${text}`, 'utf16le')],
    ['UTF-16, big end first', Buffer.from(`\ufeff${text}`, 'utf16le').swap16()]
  ]
  for (const [what, body, encoding] of cases) t.strictSame((await read({ body, ...(encoding !== undefined && { encoding }) })).body, value, what)
  t.equal((await read({ body: Buffer.from('<h1>Closed</h1>') })).body, undefined)
  t.equal((await read({ body: Buffer.alloc(0), encoding: 'gzip', status: 204 })).body, undefined)
  await t.rejects(read({ body: gzipSync(plain).subarray(0, 20), encoding: 'gzip' }), { code: 'Z_BUF_ERROR' })
})

t.test('rejects a too large response before parsing', async t => {
  const tooLarge = { code: 'FST_B24_ANSWER_TOO_LARGE', statusCode: 502 }
  const empties = Buffer.from(`{"result":[${'[],'.repeat(2_700_000)}[]]}`)
  const deep = Buffer.from(`{"result":${'{"a":'.repeat(100)}1${'}'.repeat(100)}}`)
  const cases: Array<[what: string, given: Given, message: RegExp]> = [
    ['8 MB', { body: empties }, /crm.item.list: response exceeds 1048576 bytes/],
    ['a bomb', { body: gzipSync(empties), encoding: 'gzip' }, /1048576 bytes/],
    ['a bomb in a bomb', { body: gzipSync(gzipSync(empties)), encoding: 'gzip, gzip' }, /1048576 bytes/],
    ['as it says itself', { body: Buffer.from('{}'), headers: { 'content-length': '8000000' } }, /1048576 bytes/],
    ['many small values', { body: empties.subarray(0, MB) }, /131072 values/],
    ['many, where more is allowed', { body: empties, maxBytes: 100 * MB, encoding: 'identity' }, /1048576 values/],
    ['deep', { body: deep }, /64 levels/],
    ['what the plugin asks for itself', { body: Buffer.from(`{"result":"${'x'.repeat(70_000)}"}`), maxBytes: 65_536 }, /65536 bytes/]
  ]
  for (const [what, given, message] of cases) await t.rejects(read(given), { ...tooLarge, message }, what)
  const page = Buffer.from(`{"result":[${Array(50).fill(`{${Array.from({ length: 300 }, (_, i) => `"field${i}":"some value"`).join(',')}}`).join(',')}]}`)
  t.equal(((await read({ body: page })).body as { result: unknown[] }).result.length, 50, 'a page of 50 rows with 300 fields')
  const batch = Buffer.from(`{"result":[${Array(16).fill(page.toString()).join(',')}]}`)
  t.ok((await read({ body: gzipSync(batch), encoding: 'gzip', maxBytes: 8 * MB })).body, 'a batch of such pages, where it is asked for')
  t.strictSame((await read({ body: empties, status: 503 })).body, undefined, 'a large error is no JSON')
  const quoted = Buffer.from(JSON.stringify({ result: `${'[{,'.repeat(100_000)}\\"` }))
  t.ok((await read({ body: quoted })).body, 'what stands in a text is no value')
})

t.test('reads small responses at once, and large ones within the memory budget', async t => {
  const budget = new ReadBudget({ total: 3 * MB, perPortal: 2 * MB })
  const { signal } = new AbortController()
  const held = [await budget.acquire('evil', MB, signal), await budget.acquire('evil', MB, signal)]
  const order: string[] = []
  const wait = async (memberId: string, bytes = MB) => {
    const release = await budget.acquire(memberId, bytes, signal)
    order.push(memberId)
    return release
  }
  const third = wait('evil')
  held.push(await wait('other'))
  t.strictSame(order, ['other'], 'a portal that has all it may have keeps no other waiting')
  t.equal(budget.used, 3 * MB)
  const large = Buffer.from(`{"result":"${'x'.repeat(100_000)}"}`)
  const reading = read({ body: large, budget })
  t.ok((await read({ body: Buffer.from('{"result":1}'), budget })).body, 'a small answer needs none of it')
  const stop = new AbortController()
  const broken = read({ body: large, budget, signal: stop.signal })
  stop.abort(new Error('enough'))
  await t.rejects(broken, /enough/)
  held.shift()?.()
  t.ok((await reading).body)
  t.strictSame(order, ['other'], 'who has none yet comes first')
  held.forEach(release => { release(); release() })
  await third.then(release => release())
  t.equal(budget.used, 0, 'all is given back, once')
  await t.rejects(budget.acquire('a', 1, AbortSignal.abort(new Error('late'))), /late/)
  t.equal(await budget.acquire('a', 99 * MB, signal).then(() => budget.used), 2 * MB, 'no more than a portal may ever have')
})

t.test('slow portals cannot exhaust the memory budget of others', async t => {
  const budget = new ReadBudget({ total: 32 * MB, perPortal: 8 * MB })
  const stop = new AbortController()
  setMaxListeners(0, stop.signal)
  const slow = ['a', 'b', 'c', 'd'].flatMap(memberId => Array.from({ length: 16 }, async () => await budget.acquire(memberId, MB, stop.signal)))
  Promise.allSettled(slow)
  await new Promise(resolve => { setImmediate(resolve) })
  t.equal(budget.used, 25 * MB, 'three have their share, and the last its first')
  const others = await Promise.all(['e', 'f', 'g'].map(async memberId => await budget.acquire(memberId, MB, stop.signal)))
  t.equal(budget.used, 28 * MB)
  for (const release of others) release()
  t.equal(budget.used, 25 * MB, 'what they give back waits for the next who has none')
  ;(await slow[0] as () => void)()
  t.equal(budget.used, 25 * MB - MB, 'as long as the others keep theirs')
  stop.abort(new Error('enough'))
})

t.test('random bytes end as a response or an error with a code', async t => {
  const part = fc.oneof(fc.uint8Array({ maxLength: 200 }).map(bytes => Buffer.from(bytes)), fc.json().map(text => Buffer.from(text)), fc.json().map(text => gzipSync(text)))
  const encoding = fc.constantFrom('gzip', 'deflate', 'br', 'gzip, br', 'identity', 'zstd', ',,', 'GZIP,gzip,gzip,gzip')
  await fc.assert(fc.asyncProperty(fc.array(part, { minLength: 1, maxLength: 3 }), encoding, fc.integer({ min: 200, max: 599 }), async (body, encoding, status) => {
    const ended = await read({ body, encoding, status }).then(() => 'answer', (error: { code?: string }) => error.code)
    return typeof ended === 'string'
  }), { numRuns: 1_000 })
  t.pass()
})
