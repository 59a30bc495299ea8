import Fastify from 'fastify'
import t from 'tap'
import { Dispatcher } from '../../src/delivery/dispatch.ts'
import { LifecycleHookRegistry, createPortalListener, type PortalListenerParts } from '../../src/delivery/lifecycle-hooks.ts'
import type { HandlerContext } from '../../src/delivery/run-handler.ts'
import { HandlerRegistry } from '../../src/events/handlers.ts'
import type { Portal, Portals } from '../../src/portal/portal.ts'
import { storeUnavailable } from '../../src/storage/unavailable.ts'
import { logTo } from '../helpers/token-world.ts'
import { until } from '../helpers/until.ts'

const portal = { memberId: 'acme', domain: 'acme.bitrix24.com' } as Portal
const { log } = Fastify()

/** Runs the hooks of an install once, with the given registrations; resolves with the hooks that ran, and the ids of all that succeeded so far. */
async function attempt (register: (list: LifecycleHookRegistry, hookOf: (word: string, fails?: boolean) => () => void) => void, before: readonly string[] = []) {
  const lifecycle = new LifecycleHookRegistry()
  const ran: string[] = []
  register(lifecycle, (word, fails = false) => {
    const hook = () => {
      ran.push(word)
      if (fails) throw new Error(word)
    }
    return Object.defineProperty(hook, 'name', { value: word })
  })
  const done = [...before]
  const dispatcher = new Dispatcher({ handlers: new HandlerRegistry<HandlerContext>({ warn: () => {} }), lifecycle, limits: { handlerTimeoutMs: 1_000, graceMs: 0 } })
  const errors = await dispatcher.runHooks({ hook: 'onInstall', fact: { reinstall: false } }, { portal, log, done, onSucceeded: async id => { done.push(id) } })
  return { ran, done, failed: errors.map(({ message }) => message) }
}

t.test('a retry runs failed hooks, and those added by a deploy at any position', async t => {
  const { done, failed } = await attempt((list, hookOf) => {
    list.add('onInstall', hookOf('first'))
    list.add('onInstall', hookOf('second', true))
    list.add('onInstall', hookOf('third'))
  })
  t.strictSame(failed, ['second'])
  const { ran } = await attempt((list, hookOf) => {
    for (const word of ['new', 'first', 'second', 'another', 'third', 'last']) list.add('onInstall', hookOf(word))
  }, done)
  t.strictSame(ran, ['new', 'second', 'another', 'last'])
})

t.test('a hook is identified by its given id, even if changed', async t => {
  const { done } = await attempt((list, hookOf) => list.add('onInstall', hookOf('one'), 'plugin subscribe'))
  t.strictSame(done, ['plugin subscribe'])
  t.strictSame((await attempt((list, hookOf) => list.add('onInstall', hookOf('other'), 'plugin subscribe'), done)).ran, [])
})

t.test('identical hooks, and one registered twice, have different ids, also under another name', async t => {
  const list = new LifecycleHookRegistry()
  const same = () => {}
  for (const hook of [same, same, ...[1, 2].map(() => () => {})]) list.add('onInstall', hook)
  list.add('onUpdate', same)
  const ids = [...list.get('onInstall'), ...list.get('onUpdate')].map(({ id }) => id)
  t.equal(new Set(ids).size, 5)
})

const portals = () => ({ of: (install: object) => install }) as unknown as Portals

t.test('changes of the state of a portal call the hooks', async t => {
  const seen: unknown[] = []
  const lifecycleHooks = new LifecycleHookRegistry()
  lifecycleHooks.add('onReauthRequired', ({ portal }) => { seen.push(['reauth', portal]) })
  lifecycleHooks.add('onSuspended', ({ portal }) => { seen.push(['suspended', portal]) })
  lifecycleHooks.add('onPortalRenamed', ({ portal, from, to }) => { seen.push(['renamed', portal, from, to]) })
  lifecycleHooks.add('onBlocked', ({ portal, reason, method, retryAfterMs }) => { seen.push(['blocked', portal, reason, method, retryAfterMs]) })
  const store = { get: async (memberId: string) => memberId === 'unknown' ? undefined : { version: 1, install: { memberId } } } as unknown as PortalListenerParts['store']
  const listener = createPortalListener({ store, lifecycleHooks, portals, log: logTo([]) as PortalListenerParts['log'] })
  listener.suspended('unknown')
  listener.reauthRequired('a')
  listener.suspended('b')
  listener.renamed('c', 'old.example', 'new.example')
  listener.blocked({ memberId: 'd', reason: 'OVERLOAD_LIMIT', method: 'profile', retryAfterMs: 300_000 })
  await until(() => seen.length === 4, 'all are reported')
  t.strictSame(seen, [['reauth', { memberId: 'a' }], ['suspended', { memberId: 'b' }], ['renamed', { memberId: 'c' }, 'old.example', 'new.example'], ['blocked', { memberId: 'd' }, 'OVERLOAD_LIMIT', 'profile', 300_000]])
})

t.test('a throwing hook and an unavailable store are logged and fail no caller', async t => {
  const logs: unknown[] = []
  const lifecycleHooks = new LifecycleHookRegistry()
  lifecycleHooks.add('onSuspended', () => { throw new Error('a bad hook') })
  let isAway = false
  const get = async (memberId: string) => {
    if (isAway) throw storeUnavailable(new Error('away'))
    return { version: 1, install: { memberId } }
  }
  const listener = createPortalListener({ store: { get } as unknown as PortalListenerParts['store'], lifecycleHooks, portals, log: logTo(logs) as PortalListenerParts['log'] })
  listener.suspended('a')
  await until(() => logs.length === 1, 'the hook is logged')
  isAway = true
  listener.suspended('a')
  await until(() => logs.length === 2, 'the store is logged')
  t.match(logs, [['error', { err: { message: 'a bad hook' } }], ['error', { memberId: 'a', err: { code: 'FST_B24_STORE_UNAVAILABLE' } }]])
})
