import fc from 'fast-check'
import t from 'tap'
import { FST_B24_INSTALL_BUSY } from '../../../src/errors.ts'
import { type CheckQueue, createCheckQueue } from '../../../src/delivery/lifecycle/check-queue.ts'
import { sourceOf } from '../../../src/delivery/lifecycle/source-of.ts'

const settle = async () => await new Promise(resolve => setImmediate(resolve))

/** Checks that run until the test ends them; each is named by its source. */
function stage (queue: CheckQueue) {
  const started: string[] = []
  const refused: string[] = []
  const running: Array<{ source: string, end: () => void }> = []
  const post = (source: string, { trusted = false, name = source } = {}) => {
    queue.run(source, trusted ? source : undefined, () => new Promise<void>(resolve => {
      started.push(name)
      running.push({ source, end: resolve })
    })).catch(error => {
      if (!(error instanceof FST_B24_INSTALL_BUSY)) throw error
      refused.push(name)
    })
  }
  const end = async (place = 0) => {
    running.splice(place, 1)[0]?.end()
    await settle()
  }
  const endAll = async () => {
    await settle()
    while (running.length > 0) await end()
  }
  return { started, refused, running, post, end, endAll }
}

t.test('runs 16 checks at once, lets 256 wait, refuses more and leaves nothing behind', async t => {
  for (const trusted of [false, true]) {
    const queue = createCheckQueue()
    const { started, refused, running, post, endAll } = stage(queue)
    for (let n = 0; n < 273; n++) post('192.0.2.1', { trusted, name: `${n}` })
    await settle()
    t.equal(running.length, 16)
    t.equal(queue.size, 272)
    t.strictSame(refused, ['272'])
    await endAll()
    t.strictSame(started, Array.from({ length: 272 }, (_, n) => `${n}`), 'in their order')
    t.equal(queue.size, 0)
    t.equal(await queue.run('192.0.2.1', trusted ? 'acme' : undefined, async () => 'checked'), 'checked')
  }
})

t.test('serves every newcomer during a flood from one source', async t => {
  const queue = createCheckQueue()
  const { started, refused, post, endAll } = stage(queue)
  const newcomers = Array.from({ length: 12 }, (_, n) => `198.51.100.${n}`)
  for (let n = 0; n < 750; n++) post('192.0.2.1')
  for (const newcomer of newcomers) post(newcomer)
  for (let n = 0; n < 750; n++) post('192.0.2.1')
  await endAll()
  t.strictSame(started.filter(source => source !== '192.0.2.1'), newcomers, 'in their order')
  t.ok(started.indexOf('198.51.100.11') <= 16 + 12, 'after what ran already and one check of the flood')
  t.strictSame(new Set(refused), new Set(['192.0.2.1']))
  t.equal(started.length, 272)
  t.equal(started.length + refused.length, 1512)
  t.equal(queue.size, 0)
})

t.test('lets sources take turns', async t => {
  const cases: Array<[string, string[], string[]]> = [
    ['one check each', ['a', 'a', 'a', 'a', 'b', 'b', 'c'], ['a', 'a', 'b', 'c', 'a', 'b', 'a']],
    ['those that come while others wait come last', ['a', 'b', 'c', 'b', 'd', 'a'], ['a', 'b', 'c', 'd', 'a', 'b']],
    ['a source alone', ['a', 'a', 'a'], ['a', 'a', 'a']]
  ]
  for (const [name, posts, expected] of cases) {
    const { started, post, endAll } = stage(createCheckQueue({ concurrency: 1 }))
    for (const source of posts) post(source)
    await endAll()
    t.strictSame(started, expected, name)
  }
})

t.test('gives a source no more than half of the places to run while another waits', async t => {
  const queue = createCheckQueue({ concurrency: 4 })
  const { running, post, end, endAll } = stage(queue)
  const shares = () => running.map(({ source }) => source).toSorted().join('')
  for (let n = 0; n < 8; n++) post('a')
  await settle()
  t.equal(shares(), 'aaaa', 'alone it takes them all')
  for (let n = 0; n < 4; n++) post('b')
  await end()
  await end()
  t.equal(shares(), 'aabb', 'what ends goes to the other')
  await end()
  t.equal(shares(), 'aabb')
  post('c')
  await end(running.findIndex(({ source }) => source === 'b'))
  t.equal(shares(), 'aabb')
  await end(running.findIndex(({ source }) => source === 'b'))
  t.equal(shares(), 'aabc')
  await endAll()
  t.equal(queue.size, 0)
})

t.test('when all places to wait are taken', async t => {
  const full = ['x', 'a1', 'a2', 'a3', 'b1']
  const cases: Array<[string, string[], string[], string[]]> = [
    ['gives a new source that of the newest check of the fullest', [...full, 'c1'], ['a3'], ['x', 'a1', 'b1', 'c1', 'a2']],
    ['gives one to a source that holds fewer', [...full, 'b2'], ['a3'], ['x', 'a1', 'b1', 'a2', 'b2']],
    ['refuses the fullest', [...full, 'a4'], ['a4'], ['x', 'a1', 'b1', 'a2', 'a3']],
    ['refuses one of the fullest', [...full, 'b2', 'b3', 'a4'], ['a3', 'a4', 'b3'], ['x', 'a1', 'b1', 'a2', 'b2']],
    ['takes, of equals, that of the source whose turn is the farthest', ['x', 'a1', 'b1', 'c1', 'd1', 'e1'], ['d1'], ['x', 'a1', 'b1', 'c1', 'e1']],
    ['keeps the turn of a source that lost one', [...full, 'c1', 'd1'], ['a2', 'a3'], ['x', 'a1', 'b1', 'c1', 'd1']]
  ]
  for (const [name, posts, lost, expected] of cases) {
    const queue = createCheckQueue({ concurrency: 1, waiting: 4 })
    const { started, refused, post, endAll } = stage(queue)
    for (const check of posts) post(check.charAt(0), { name: check })
    await endAll()
    t.strictSame(refused.toSorted(), lost, name)
    t.strictSame(started, expected, name)
    t.equal(queue.size, 0)
  }
})

t.test('keeps a lane for what is trusted, which nothing else gets in the way of', async t => {
  const queue = createCheckQueue({ concurrency: 1, waiting: 1 })
  const flood = stage(queue)
  for (let n = 0; n < 5; n++) flood.post('a')
  await settle()
  t.equal(await queue.run('a', 'acme', async () => 'checked'), 'checked')
  const { started, refused, post, endAll } = stage(queue)
  for (const source of ['a', 'a', 'a', 'b']) post(source, { trusted: true })
  await endAll()
  t.strictSame({ started, refused }, { started: ['a', 'b'], refused: ['a', 'a'] })
  await flood.endAll()
  t.equal(queue.size, 0)
})

t.test('a known portal that asks for very many checks takes no place of another', async t => {
  const queue = createCheckQueue()
  const { started, refused, post, endAll } = stage(queue)
  for (let n = 0; n < 300; n++) post('greedy', { trusted: true })
  post('acme', { trusted: true })
  await endAll()
  t.ok(started.includes('acme'))
  t.ok(started.indexOf('acme') <= 17, 'after what ran already')
  t.strictSame(new Set(refused), new Set(['greedy']))
})

t.test('passes a failure on and goes on', async t => {
  const queue = createCheckQueue({ concurrency: 1 })
  for (const trusted of [false, true]) {
    const failing = queue.run('a', trusted ? 'acme' : undefined, async () => { throw new Error('failed') })
    const throwing = queue.run('a', trusted ? 'acme' : undefined, () => { throw new Error('at once') })
    const next = queue.run('b', trusted ? 'other' : undefined, async () => 'next')
    await t.rejects(failing, { message: 'failed' })
    await t.rejects(throwing, { message: 'at once' })
    t.equal(await next, 'next')
    t.equal(queue.size, 0)
  }
})

t.test('keeps its places full, and empty in the end, in any order of posts and ends', async t => {
  const steps = fc.array(fc.oneof(fc.constantFrom('a', 'b', 'c', 'd'), fc.nat(9)), { maxLength: 60 })
  await t.resolves(fc.assert(fc.asyncProperty(fc.integer({ min: 1, max: 5 }), fc.nat(6), steps, async (concurrency, waiting, steps) => {
    const queue = createCheckQueue({ concurrency, waiting })
    const { started, refused, running, post, end, endAll } = stage(queue)
    let posts = 0
    for (const step of steps) {
      if (typeof step === 'string') {
        posts++
        post(step)
        await settle()
      } else if (running.length > 0) {
        await end(step % running.length)
      }
      const known = queue.size === posts - refused.length - (started.length - running.length)
      if (!known || running.length !== Math.min(queue.size, concurrency) || queue.size > concurrency + waiting) return false
    }
    await endAll()
    return queue.size === 0 && started.length + refused.length === posts
  }), { numRuns: 200 }))
})

t.test('names the source of an address', async t => {
  const cases: Array<[string, string]> = [
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:c000:0201', '192.0.2.1'],
    ['0:0:0:0:0:ffff:192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1%eth0', '192.0.2.1'],
    ['::ffff:0.0.0.0', '0.0.0.0'],
    ['2001:db8::1', '2001:db8:0:0'],
    ['2001:DB8:0:0:ffff:ffff:ffff:ffff', '2001:db8:0:0'],
    ['2001:0db8:0000:0001::', '2001:db8:0:1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
    ['2001:db8:1::2:3:4:5', '2001:db8:1:0'],
    ['2001::1:0:0:2:3', '2001:0:0:1'],
    ['1::', '1:0:0:0'],
    ['::1', '0:0:0:0'],
    ['::', '0:0:0:0'],
    ['::192.0.2.1', '0:0:0:0'],
    ['::fffe:192.0.2.1', '0:0:0:0'],
    ['::1:2:3:4:5:6:7', '0:1:2:3'],
    ['fe80::1%eth0', 'fe80:0:0:0'],
    ['', ''],
    ['unknown', 'unknown'],
    ['192.0.2.1:443', '192.0.2.1:443'],
    ['[2001:db8::1]', '[2001:db8::1]'],
    ['2001:db8::1::2', '2001:db8::1::2']
  ]
  for (const [ip, source] of cases) t.equal(sourceOf(ip), source, ip)
})

t.test('takes a /64 for one source', async t => {
  const { refused, post, endAll } = stage(createCheckQueue({ concurrency: 1, waiting: 2 }))
  for (const ip of ['2001:db8::1', '2001:db8::2', '2001:db8::3', '2001:db8::4', '2001:db8:0:1::1']) post(ip)
  await endAll()
  t.strictSame(refused.toSorted(), ['2001:db8::3', '2001:db8::4'])
})
