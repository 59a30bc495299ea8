import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { InstallStore } from '../../../src/storage/install-store.ts'
import type { DrainReport } from '../../../src/portal/offline/offline-drain.ts'
import type { DrainOptions } from '../../../src/portal/offline/offline-queue.ts'
import type { Locks } from '../../../src/storage/storage.ts'
import { OfflinePoller, type OfflinePollerParts, type PollerTimes } from '../../../src/portal/offline/offline-poller.ts'
import { storeUnavailable } from '../../../src/storage/unavailable.ts'
import { sampleInstall } from '../../../src/testing/index.ts'
import { until } from '../../helpers/until.ts'

const REST_MS = 100

/** Locks shared by all processes. */
function openLocks (): Locks {
  const ends = new Map<string, number>()
  return {
    take: async (name, ttlMs) => {
      if ((ends.get(name) ?? 0) > performance.now()) return undefined
      ends.set(name, performance.now() + ttlMs)
      return { renew: async () => true, release: async () => {} }
    }
  }
}

interface Setup extends Partial<OfflinePollerParts> {
  portals?: string[]
  /** Runs during a drain, which is recorded; prefixed with `q` for `drainNew`. */
  work?: (what: string, signal: AbortSignal) => Promise<Partial<DrainReport> | undefined>
}

function setup (t: Test, { portals = ['a', 'b'], work = async () => undefined, times, ...parts }: Setup = {}) {
  const drains: string[] = []
  const logs: unknown[][] = []
  let atOnce = 0
  let most = 0
  const drain = async (memberId: string, what: string, { signal }: DrainOptions = {}): Promise<DrainReport> => {
    drains.push(what)
    most = Math.max(most, ++atOnce)
    try {
      return { memberId, connector: '', busy: false, reserved: 0, skipped: 0, stored: 0, cleared: 0, atRisk: false, ...await work(what, signal as AbortSignal) }
    } finally {
      atOnce--
    }
  }
  const installs = portals.map(memberId => sampleInstall(memberId, { state: 'active' }))
  const store: Pick<InstallStore, 'scan'> = {
    scan: async (cursor) => {
      const from = Number(cursor ?? 0)
      return { installs: installs.slice(from, from + 2), ...(from + 2 < installs.length && { cursor: String(from + 2) }) }
    }
  }
  const given: OfflinePollerParts = {
    queue: { drain: async (memberId, options) => await drain(memberId, memberId, options), drainNew: async (memberId, options) => await drain(memberId, `q${memberId}`, options) },
    store,
    locks: openLocks(),
    isEnabled: () => true,
    log: { info: (...line: unknown[]) => { logs.push(line) }, warn: (...line: unknown[]) => { logs.push(line) } },
    ...parts
  }
  const open = (more: Partial<PollerTimes> = {}) => {
    const watch = new OfflinePoller({ ...given, times: { pollMs: 60_000, debounceMs: REST_MS, retryMs: 20, ...times, ...more } })
    t.teardown(() => watch.close(0))
    return watch
  }
  return { watch: open(), open, drains, logs, installs, most: () => most }
}

t.test('drains every active portal at startup, a few concurrently', async t => {
  const portals = Array.from({ length: 11 }, (_, index) => `p${index}`)
  const { watch, drains, installs, most } = setup(t, { portals, work: async () => await sleep(5) })
  installs[3]!.state = 'reauth_required'
  watch.start()
  await until(() => drains.length === 10, 'all are drained')
  await sleep(20)
  t.strictSame(drains.toSorted(), portals.filter(name => name !== 'p3').sort())
  t.ok(most() <= 4)
})

t.test('polls each portal periodically, in one process', async t => {
  const { open, drains } = setup(t, { portals: ['a'] })
  for (const watch of [open({ pollMs: 100 }), open({ pollMs: 100 }), open({ pollMs: 100 })]) watch.start()
  await until(() => drains.length === 3, 'at the start, each')
  const start = performance.now()
  await until(() => drains.length === 6, 'it goes on')
  const rounds = (performance.now() - start) / 100
  t.ok(rounds > 2, `three looks in the time of ${rounds} rounds`)
})

t.test('polls nothing unless enabled', async t => {
  let isWanted = false
  const { watch, drains } = setup(t, { isEnabled: () => isWanted, times: { pollMs: 20 } })
  watch.start()
  await sleep(60)
  t.strictSame(drains, [])
  isWanted = true
  await until(() => drains.length > 0, 'it asks at each round')
})

t.test('drains at once after a notification, and again later: a portal notifies at the first change of a second only', async t => {
  const { watch, drains } = setup(t)
  watch.notify('a')
  await until(() => drains.length === 1, 'at once', REST_MS)
  await until(() => drains.length === 2, 'and again')
  await sleep(REST_MS * 2)
  t.strictSame(drains, ['qa', 'qa'])
})

t.test('debounces many notifications without losing the last', async t => {
  const { watch, drains } = setup(t)
  const start = performance.now()
  while (performance.now() - start < REST_MS * 5) {
    watch.notify('a')
    await sleep(5)
  }
  const rung = drains.length
  t.ok(rung >= 2 && rung <= 7, `${rung} drains`)
  await until(() => drains.length > rung, 'after the last')
  await sleep(REST_MS * 3)
  t.ok(drains.length <= rung + 2)
})

t.test('a notification during the last drain is not lost', async t => {
  const { watch, drains } = setup(t, {
    work: async () => {
      if (drains.length === 2) watch.notify('a')
      return undefined
    }
  })
  watch.notify('a')
  await until(() => drains.length === 3, 'a third drain')
})

t.test('retries a queue that another process drains', async t => {
  let busy = true
  const { watch, drains } = setup(t, { portals: ['a'], work: async () => ({ busy }) })
  watch.start()
  await until(() => drains.length >= 4, 'who has the lock may be dead')
  busy = false
  await sleep(REST_MS * 2)
  const { length } = drains
  await sleep(REST_MS * 2)
  t.equal(drains.length, length, 'and no more once it is free')
})

t.test('a portal with many notifications does not delay others', async t => {
  const { watch, drains, most } = setup(t, { work: async what => { if (what === 'q1') await sleep(1_000) } })
  for (let n = 1; n <= 20; n++) watch.notify(String(n))
  await until(() => drains.length >= 20, 'all are answered', 900)
  t.ok(most() <= 4)
})

t.test('logs a problem of a portal once until it is over', async t => {
  const reports: Array<Partial<DrainReport>> = [
    { error: { code: 'ACCESS_DENIED', message: 'no' } }, { error: { code: 'ACCESS_DENIED', message: 'no' } }, { reserved: 2, stored: 2 }, { error: { code: 'ACCESS_DENIED', message: 'no' } }
  ]
  const { watch, drains, logs } = setup(t, { work: async () => reports[drains.length - 1] })
  for (const count of [2, 4]) {
    watch.notify('a')
    await until(() => drains.length === count, 'answered')
    await sleep(REST_MS)
  }
  t.match(logs, [
    [{ memberId: 'a', reason: { code: 'ACCESS_DENIED' } }, /failed to fetch/],
    [{ memberId: 'a', reserved: 2, stored: 2 }, /offline events fetched/],
    [{ memberId: 'a' }, /failed to fetch/]
  ])
  t.equal(logs.length, 3)
})

t.test('logs an unexpected failure of a drain and continues', async t => {
  const { watch, drains, logs } = setup(t, { work: async what => { if (what === 'a') throw new Error('broken') } })
  watch.start()
  await until(() => drains.length === 2, 'both')
  await until(() => logs.length === 1, 'told')
  t.match(logs, [[{ memberId: 'a', reason: { code: 'FST_B24_INTERNAL', message: 'broken' } }, /failed to fetch/]])
})

t.test('retries soon after a store outage at startup', async t => {
  let failures = 2
  const { watch, drains, logs } = setup(t, {
    store: {
      scan: async () => {
        if (failures-- > 0) throw storeUnavailable(new Error('away'))
        return { installs: [sampleInstall('a', { state: 'active' })] }
      }
    }
  })
  watch.start()
  await until(() => drains.length === 1, 'drained')
  t.match(logs, [[{ err: { code: 'FST_B24_STORE_UNAVAILABLE' } }], [{}]])
})

t.test('close waits for drains under way and starts none', async t => {
  const portals = Array.from({ length: 9 }, (_, index) => `p${index}`)
  const { watch, drains } = setup(t, { portals, work: async () => await sleep(50) })
  watch.start()
  watch.notify('x')
  await until(() => drains.length === 3, 'under way')
  await watch.close()
  const { length } = drains
  watch.notify('y')
  await sleep(REST_MS * 2)
  t.equal(drains.length, length)
})

t.test('logs nothing for drains and store calls aborted by close', async t => {
  let fail = (_error: Error) => {}
  const hang = async () => await new Promise<never>((_resolve, reject) => { fail = reject })
  const { watch, logs, drains } = setup(t, { portals: ['a'], work: hang })
  watch.start()
  await until(() => drains.length === 1, 'under way')
  const closed = watch.close()
  fail(new Error('closing'))
  await closed
  const other = setup(t, { store: { scan: hang } })
  other.watch.start()
  const ended = other.watch.close()
  fail(new Error('closing'))
  await ended
  t.strictSame([...logs, ...other.logs], [])
})

t.test('a portal with an endless queue delays others only briefly and is drained again', async t => {
  const { watch, drains, logs } = setup(t, {
    portals: ['endless', 'a', 'b', 'c', 'd', 'e'],
    times: { drainMs: 50 },
    work: async (what, signal) => what.endsWith('endless') ? await once(signal, 'abort').then(() => { throw signal.reason }) : undefined
  })
  watch.start()
  await until(() => drains.includes('e'), 'those of other pages are looked at')
  await until(() => drains.includes('qendless'), 'it goes on after them')
  t.match(logs, [[{ memberId: 'endless', reason: { code: 'FST_B24_PORTAL_UNAVAILABLE' } }]])
})

t.test('portals that do not answer do not delay the others', async t => {
  const hanging = Array.from({ length: 12 }, (_, index) => `h${index}`)
  const work = async (what: string, signal: AbortSignal): Promise<undefined> => {
    if (!/^q?h/.test(what)) return
    await once(signal, 'abort')
    signal.throwIfAborted()
  }
  const { watch, drains } = setup(t, { portals: [...hanging, 'good'], work, times: { slowAfterMs: 50, drainMs: 3_000 } })
  watch.start()
  await until(() => drains.includes('good'), 'the poll reaches the last portal', 1_500)
  for (const portal of [...hanging, 'good']) watch.notify(portal)
  await until(() => drains.includes('qgood'), 'a notification is handled', 1_500)
})

t.test('close has a deadline', async t => {
  const { watch, drains } = setup(t, { portals: ['a'], work: async () => await new Promise(() => {}) })
  watch.start()
  await until(() => drains.length === 1, 'under way')
  const start = performance.now()
  await watch.close(50)
  t.ok(performance.now() - start < 3_000)
})
