import t from 'tap'
import { sourceOf, UnverifiedLimiter } from '../../src/delivery/unverified-limiter.ts'
import type { Source } from '../../src/storage/network-share.ts'

const SERVER = 'https://oauth.bitrix.info'
const BUSY = { code: 'FST_B24_INSTALL_BUSY', statusCode: 503 }
const from = (ip: string, server = SERVER) => sourceOf(server, ip)

/** Checks that run until the test ends them. */
function stage (limiter = new UnverifiedLimiter()) {
  const ends: Array<() => void> = []
  const checks: Array<Promise<void>> = []
  /** Begins as many checks as are let in, up to `most`. */
  const begin = async (most: number, source: (i: number) => Source) => {
    let refused = 0
    const begun = ends.length
    for (let i = 0; i < most; i++) checks.push(limiter.run(source(i), () => new Promise<void>(resolve => { ends.push(resolve) })).catch(() => { refused++ }))
    await new Promise(resolve => setImmediate(resolve))
    t.equal(ends.length - begun + refused, most)
    return ends.length - begun
  }
  const endAll = async () => {
    for (const end of ends) end()
    await Promise.all(checks)
  }
  return { limiter, begin, endAll }
}

t.test('concurrent checks are limited by the tree of their sources', async t => {
  const { limiter, begin, endAll } = stage()
  t.equal(await begin(200, i => from(`2001:db8:77:${(i * 257).toString(16)}::1`)), 96, 'a /48 has half of the places at most')
  await t.rejects(limiter.run(from('2001:db8:77:ffff::1'), async () => t.fail('is never run')), BUSY)
  t.equal(await begin(20, i => from(`203.0.113.${i}`)), 20, 'others have places')
  t.equal(await begin(200, () => from('2001:db8:77::1', 'https://oauth.bitrix24.tech')), 54, 'so has who asks another server')
  t.equal(await begin(200, () => sourceOf(SERVER, '2001:db8:77::1', 'acme')), 32, 'and a portal that is known')
  t.equal(await begin(10, () => sourceOf(SERVER, '2001:db8:77::1', 'beta')), 8)
  await endAll()
  t.equal(await begin(200, () => from('192.0.2.1')), 72, 'what ended left its places')
  await endAll()
})

t.test('a limited check returns its own result and releases its slot', async t => {
  const { limiter, begin, endAll } = stage()
  t.equal(await limiter.run(from('192.0.2.1'), async () => 'checked'), 'checked')
  await t.rejects(limiter.run(from('192.0.2.1'), async () => { throw new Error('failed') }), { message: 'failed' })
  await t.rejects(limiter.run(from('192.0.2.1'), () => { throw new Error('at once') }), { message: 'at once' })
  t.equal(await begin(80, () => from('192.0.2.1')), 72)
  await endAll()
})

t.test('queries to an OAuth server are rate-limited, for each network and in total', async t => {
  let now = 0
  const limiter = new UnverifiedLimiter(() => now)
  const ask = (most: number, source: (i: number) => Source) => {
    let asked = 0
    for (let i = 0; i < most; i++) {
      try {
        limiter.count('query', source(i))
        asked++
      } catch (error) {
        t.match(error, BUSY)
      }
    }
    return asked
  }
  t.equal(ask(1000, () => from('192.0.2.1')), 100)
  now += 1_000
  t.equal(ask(1000, () => from('192.0.2.1')), 10, 'ten a second from then on')
  t.equal(ask(1000, i => from(`192.0.2.${i % 200}`)), 110, 'an IPv4 /24 has twice that, what was refused not counted')
  t.equal(ask(1000, i => from(`2001:db8:77:${i.toString(16)}::1`)), 80, 'all networks that asked lately have half of what all have')
  t.equal(ask(1000, i => from(`2001:db8:77:${i.toString(16)}::1`)), 0)
  t.equal(ask(200, i => from(`198.51.${i}.1`)), 200, 'the rest is for newcomers')
  t.equal(ask(1000, () => from('192.0.2.1', 'https://oauth.bitrix24.tech')), 100, 'each server has a rate of its own')
  t.equal(ask(1000, () => sourceOf(SERVER, '192.0.2.1', 'acme')), 200, 'and so has a portal that is known')
  t.equal(ask(300, i => sourceOf(SERVER, '192.0.2.1', `portal-${i % 100}`)), 300, 'and many of them ask for nobody else')
  t.doesNotThrow(() => limiter.count('install', from('192.0.2.1')), 'what comes in is counted by itself')
  now += 60_000
  t.equal(ask(60, () => from('192.0.2.1')), 60, 'sixty portals install from one address at once')
})

t.test('only a few lifecycle events per minute of one sender get priority', async t => {
  let now = 1_000_000
  const limiter = new UnverifiedLimiter(() => now)
  const admitted = (sender: string) => Array.from({ length: 8 }, () => limiter.isPriority(sender)).filter(Boolean).length
  t.equal(admitted('a'), 5)
  t.equal(admitted('b'), 5, 'another sender has its own')
  now += 12_000
  t.equal(admitted('a'), 1)
  now += 60_000
  t.equal(admitted('a'), 5)
})

t.test('a rejection is cached for a minute, and the oldest are evicted', async t => {
  let now = 0
  const limiter = new UnverifiedLimiter(() => now)
  limiter.remember(['acme', 'token'], 'token_refused')
  t.equal(limiter.rejectionOf(['acme', 'token']), 'token_refused')
  t.equal(limiter.rejectionOf(['acme', 'another']), undefined)
  now += 59_999
  t.equal(limiter.rejectionOf(['acme', 'token']), 'token_refused')
  now += 1
  t.equal(limiter.rejectionOf(['acme', 'token']), undefined)
  for (let i = 0; i < 10_001; i++) limiter.remember([i], 'other_app')
  t.equal(limiter.rejectionOf([0]), undefined)
  t.equal(limiter.rejectionOf([1]), 'other_app')
  t.equal(limiter.rejectionOf([10_000]), 'other_app')
})
