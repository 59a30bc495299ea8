import Fastify from 'fastify'
import t from 'tap'
import { Dispatcher } from '../../../src/delivery/handlers/dispatcher.ts'
import type { HandlerContext } from '../../../src/delivery/handlers/handler-context.ts'
import { LifecycleHookList } from '../../../src/delivery/handlers/lifecycle-hooks.ts'
import { EventHooks } from '../../../src/events/hooks.ts'
import type { Portal } from '../../../src/portal/portal.ts'

const portal = { memberId: 'acme', domain: 'acme.bitrix24.com' } as Portal
const { log } = Fastify()

/** Runs the hooks of an install once, in a program that registers them so; resolves with what ran, and with the ids of all that succeeded yet. */
async function attempt (register: (list: LifecycleHookList, hookOf: (word: string, fails?: boolean) => () => void) => void, before: readonly string[] = []) {
  const lifecycle = new LifecycleHookList()
  const ran: string[] = []
  register(lifecycle, (word, fails = false) => {
    const hook = () => {
      ran.push(word)
      if (fails) throw new Error(word)
    }
    return Object.defineProperty(hook, 'name', { value: word })
  })
  const done = [...before]
  const dispatcher = new Dispatcher({ hooks: new EventHooks<HandlerContext>({ warn: () => {} }), lifecycle, limits: { handlerTimeoutMs: 1_000, graceMs: 0 } })
  const errors = await dispatcher.announce({ hook: 'onInstall', fact: { reinstall: false } }, { portal, log, done, succeeded: async id => { done.push(id) } })
  return { ran, done, failed: errors.map(({ message }) => message) }
}

t.test('a retry runs the hooks that failed, and those that a deploy has put before them, beside them or behind', async t => {
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

t.test('a hook that is given an id is known by it, whatever it became', async t => {
  const { done } = await attempt((list, hookOf) => list.add('onInstall', hookOf('one'), 'plugin subscribe'))
  t.strictSame(done, ['plugin subscribe'])
  t.strictSame((await attempt((list, hookOf) => list.add('onInstall', hookOf('other'), 'plugin subscribe'), done)).ran, [])
})

t.test('hooks that are alike, or one that is registered twice, have an id each, and so has one of another name', async t => {
  const list = new LifecycleHookList()
  const same = () => {}
  for (const hook of [same, same, ...[1, 2].map(() => () => {})]) list.add('onInstall', hook)
  list.add('onUpdate', same)
  const ids = [...list.get('onInstall'), ...list.get('onUpdate')].map(({ id }) => id)
  t.equal(new Set(ids).size, 5)
})
