import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { LazyAbortController } from '../../src/async/abort.ts'

t.test('keeps the first reason, whether the signal is read before or after', async t => {
  for (const isRead of [true, false]) {
    const abort = new LazyAbortController()
    if (isRead) t.equal(abort.signal.aborted, false)
    t.equal(abort.isAborted, false)
    abort.abort(new Error('first'))
    abort.abort(new Error('second'))
    t.equal(abort.isAborted, true)
    t.match(abort.signal.reason, { message: 'first' })
    t.equal(abort.signal, abort.signal)
  }
})

t.test('allows many listeners on its signal', async t => {
  const { signal } = new LazyAbortController()
  const warned = once(process, 'warning').then(([{ name }]) => name)
  for (let count = 0; count < 100; count++) signal.addEventListener('abort', () => {})
  t.equal(await Promise.race([warned, sleep(50, 'nothing')]), 'nothing')
})
