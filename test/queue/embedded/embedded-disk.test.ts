import { renameSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { until } from '../../helpers/until.ts'
import { EmbeddedChild } from './embedded-child.ts'
import { UNAVAILABLE, newEvent, open, openFolder } from './embedded-trial.ts'

t.setTimeout(300_000)

t.test('trouble with the disk', async t => {
  await t.test('stores nothing on a full disk and says so, and recovers when there is space', async t => {
    const child = new EmbeddedChild(t, 'fill', t.testdir())
    await child.ended
    const { stored, handled, refused } = child.lines.at(-1) as Record<string, unknown[]>
    t.ok(refused!.length >= 2)
    for (const refusal of refused!) t.strictSame(refusal, [UNAVAILABLE.code, 'EFBIG: file too large, write'])
    t.ok(stored!.length >= 2 && stored!.includes('after'))
    t.strictSame(handled!.toSorted(), stored!.toSorted())
    t.strictSame(child.said('onError'), [UNAVAILABLE.code])
  })

  await t.test('takes events in while another process keeps the tables locked, and answers all else in time', async t => {
    const dataDir = t.testdir()
    const trial = await open(t, dataDir)
    trial.work()
    const child = new EmbeddedChild(t, 'lock', dataDir)
    await until(() => child.lines.includes('locked'), 'it is locked')
    const began = performance.now()
    await trial.queue.add(newEvent({ id: 'early' }))
    await t.rejects(trial.queue.add(newEvent({ id: 'urgent', first: true })), UNAVAILABLE)
    await t.rejects(trial.queue.deadLetters.discard('any'), UNAVAILABLE)
    t.ok(performance.now() - began < 3_800)
    t.strictSame(trial.ids, [])
    await child.ended
    await trial.queue.add(newEvent({ id: 'late' }))
    await trial.settled()
    t.strictSame(trial.ids, ['early', 'late'])
  })

  await t.test('closes in time while another process keeps the folder locked', async t => {
    const dataDir = t.testdir()
    const trial = await open(t, dataDir)
    trial.work(async () => await new Promise(() => {}))
    await trial.queue.add(newEvent({ id: '1' }))
    await until(() => trial.runs.length === 1, 'it runs')
    const child = new EmbeddedChild(t, 'lock', dataDir)
    await until(() => child.lines.includes('locked'), 'it is locked')
    const began = performance.now()
    await trial.queue.close(100)
    t.ok(performance.now() - began < 3_800)
    t.ok(trial.errors.every(({ code }) => code === UNAVAILABLE.code))
    await child.ended
    const again = await open(t, dataDir)
    again.work()
    await again.settled()
    t.strictSame(again.runs, [{ id: '1', attempt: 1, coalesced: 1 }])
  })

  await t.test('answers FST_B24_STORE_UNAVAILABLE where LMDB cannot be read, and goes on when it can', async t => {
    const dataDir = t.testdir()
    const { tables } = await openFolder(t, dataDir)
    const trial = await open(t, dataDir)
    trial.work()
    const { read } = tables
    tables.read = () => read.call(tables, () => { throw new Error('MDB_READERS_FULL') }) as never
    await t.rejects(trial.queue.counts(), { ...UNAVAILABLE, cause: { message: 'MDB_READERS_FULL' } })
    await until(() => trial.errors.length === 1, 'it is told')
    tables.read = read
    await trial.queue.add(newEvent())
    await trial.settled()
    t.equal(trial.errors.length, 1)
  })

  await t.test('stores an outcome that could not be stored before, when it closes', async t => {
    const dataDir = t.testdir()
    const trial = await open(t, dataDir)
    trial.work(async () => {
      renameSync(join(dataDir, 'app'), join(dataDir, 'away'))
      return { status: 'dead', error: new Error('no luck') }
    })
    await trial.queue.add(newEvent({ id: '1' }))
    await until(() => trial.errors.length > 0, 'it cannot be stored')
    renameSync(join(dataDir, 'away'), join(dataDir, 'app'))
    await trial.queue.close(0)
    t.strictSame(trial.dead.map(({ id }) => id), ['1'])
    t.strictSame(await (await open(t, dataDir)).queue.counts(), { waiting: 0, active: 0, dead: 1 })
  })

  await t.test('says so when the folder is gone, and goes on when it is back', async t => {
    const dataDir = t.testdir()
    const trial = await open(t, dataDir)
    trial.work()
    await trial.queue.add(newEvent())
    await trial.settled()
    renameSync(join(dataDir, 'app'), join(dataDir, 'away'))
    await t.rejects(trial.queue.add(newEvent()), UNAVAILABLE)
    await t.rejects(open(t, dataDir), UNAVAILABLE)
    await until(() => trial.errors.length > 0, 'onError is told')
    const other = await open(t, dataDir, {}, 'other')
    await other.queue.close(0)
    renameSync(join(dataDir, 'other'), join(dataDir, 'app'))
    await t.rejects(trial.queue.add(newEvent()), UNAVAILABLE)
    renameSync(join(dataDir, 'app'), join(dataDir, 'other'))
    renameSync(join(dataDir, 'away'), join(dataDir, 'app'))
    await trial.queue.add(newEvent({ id: 'again' }))
    await until(() => trial.ids.includes('again'), 'it goes on')
    t.strictSame(trial.errors.map(({ code }) => code), [UNAVAILABLE.code], 'told once')
  })

  await t.test('does not open where it cannot make the folder', async t => {
    await t.rejects(open(t, t.testdir({ app: '' })), UNAVAILABLE)
  })

  await t.test('does not open on a full disk, and does when there is space', async t => {
    const child = new EmbeddedChild(t, 'open', t.testdir())
    await child.ended
    t.strictSame(child.lines, [UNAVAILABLE.code, 'stored'])
  })

  await t.test('answers FST_B24_STORE_UNAVAILABLE after it was closed', async t => {
    const { queue } = await open(t, t.testdir())
    await queue.close(0)
    const { deadLetters } = queue
    const asked: Array<Promise<unknown>> = [queue.counts(), deadLetters.list(), deadLetters.get('x'), deadLetters.replay('x'), deadLetters.discard('x')]
    for (const answer of asked) await t.rejects(answer as Promise<boolean>, UNAVAILABLE)
  })
})
