import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Lock } from '../../src/storage/storage.ts'
import { storageSettings } from '../helpers/test-storage.ts'
import { until } from '../helpers/until.ts'
import { DRIVERS } from './drivers.ts'

const LONG = 60_000

for (const { name, prepare } of DRIVERS) {
  t.test(`locks on ${name}`, async t => {
    const open = await prepare(t)
    const [one, other] = [await open(storageSettings('app')), await open(storageSettings('app'))]
    t.teardown(() => Promise.all([one.close(), other.close()]))

    await t.test('a lock excludes others until it is released', async t => {
      const lock = await one.locks.take('a', LONG)
      t.ok(lock)
      t.equal(await other.locks.take('a', LONG), undefined)
      t.equal(await one.locks.take('a', LONG), undefined, 'not even the same process twice')
      const beside = await other.locks.take('b', LONG)
      t.ok(beside, 'another name is another lock')
      await lock?.release()
      const next = await other.locks.take('a', LONG)
      t.ok(next)
      await Promise.all([next?.release(), beside?.release()])
    })

    await t.test('of many concurrent attempts, one acquires the lock', async t => {
      const taken = await Promise.all(Array.from({ length: 100 }, (_, i) => (i % 2 === 0 ? one : other).locks.take('many', LONG)))
      const held = taken.filter((lock): lock is Lock => lock !== undefined)
      t.equal(held.length, 1)
      await held[0]?.release()
    })

    await t.test('a lock expires, and its former owner cannot affect the next one', async t => {
      const lapsed = await one.locks.take('brief', 500)
      t.equal(await other.locks.take('brief', LONG), undefined)
      let next: Lock | undefined
      await until(async () => (next = await other.locks.take('brief', LONG)) !== undefined, 'it lapses')
      t.equal(await lapsed?.renew(LONG), false)
      await lapsed?.release()
      t.equal(await one.locks.take('brief', LONG), undefined, 'the next holder still has it')
      await next?.release()
    })

    await t.test('a renewed lock does not expire', async t => {
      const lock = await one.locks.take('renewed', 500)
      t.equal(await lock?.renew(LONG), true)
      await sleep(600)
      t.equal(await other.locks.take('renewed', LONG), undefined)
      await lock?.release()
      t.equal(await lock?.renew(LONG), false, 'once released, it is not held')
    })

    await t.test('an expired lock cannot be renewed', async t => {
      const lock = await one.locks.take('empty', 40)
      await sleep(80)
      t.equal(await lock?.renew(LONG), false)
    })
  })
}
