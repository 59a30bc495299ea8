import t from 'tap'
import { LifecycleHookList } from '../../../src/delivery/handlers/lifecycle-hooks.ts'
import { portalNews, type PortalNewsParts } from '../../../src/delivery/handlers/portal-news.ts'
import type { Portals } from '../../../src/portal/portal.ts'
import { storeUnavailable } from '../../../src/storage/unavailable.ts'
import { logTo } from '../../helpers/token-world.ts'
import { until } from '../../helpers/until.ts'

const portals = () => ({ of: (install: object) => install }) as unknown as Portals

t.test('news of a portal reach the hooks', async t => {
  const seen: unknown[] = []
  const lifecycleHooks = new LifecycleHookList()
  lifecycleHooks.add('onReauthRequired', ({ portal }) => { seen.push(['reauth', portal]) })
  lifecycleHooks.add('onSuspended', ({ portal }) => { seen.push(['suspended', portal]) })
  lifecycleHooks.add('onPortalRenamed', ({ portal, from, to }) => { seen.push(['renamed', portal, from, to]) })
  lifecycleHooks.add('onBlocked', ({ portal, reason, method, retryAfterMs }) => { seen.push(['blocked', portal, reason, method, retryAfterMs]) })
  const store = { get: async (memberId: string) => memberId === 'unknown' ? undefined : { version: 1, install: { memberId } } } as unknown as PortalNewsParts['store']
  const news = portalNews({ store, lifecycleHooks, portals, log: logTo([]) as PortalNewsParts['log'] })
  news.suspended('unknown')
  news.reauthRequired('a')
  news.suspended('b')
  news.renamed('c', 'old.example', 'new.example')
  news.blocked({ memberId: 'd', reason: 'OVERLOAD_LIMIT', method: 'profile', retryAfterMs: 300_000 })
  await until(() => seen.length === 4, 'all are told')
  t.strictSame(seen, [['reauth', { memberId: 'a' }], ['suspended', { memberId: 'b' }], ['renamed', { memberId: 'c' }, 'old.example', 'new.example'], ['blocked', { memberId: 'd' }, 'OVERLOAD_LIMIT', 'profile', 300_000]])
})

t.test('news fail nobody: a hook that throws, and a store that is away, are logged', async t => {
  const logs: unknown[] = []
  const lifecycleHooks = new LifecycleHookList()
  lifecycleHooks.add('onSuspended', () => { throw new Error('a bad hook') })
  let isAway = false
  const get = async (memberId: string) => {
    if (isAway) throw storeUnavailable(new Error('away'))
    return { version: 1, install: { memberId } }
  }
  const news = portalNews({ store: { get } as unknown as PortalNewsParts['store'], lifecycleHooks, portals, log: logTo(logs) as PortalNewsParts['log'] })
  news.suspended('a')
  await until(() => logs.length === 1, 'the hook is logged')
  isAway = true
  news.suspended('a')
  await until(() => logs.length === 2, 'the store is logged')
  t.match(logs, [['error', { err: { message: 'a bad hook' } }], ['error', { memberId: 'a', err: { code: 'FST_B24_STORE_UNAVAILABLE' } }]])
})
