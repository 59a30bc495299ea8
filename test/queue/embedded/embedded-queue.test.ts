import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { until } from '../../helpers/until.ts'
import { newGate } from '../contract/trial.ts'
import { EmbeddedChild } from './embedded-child.ts'
import { UNAVAILABLE, newEvent, open, openFolder } from './embedded-trial.ts'

t.setTimeout(300_000)

t.test('an event whose handler fails in the last moments of a close waits once', async t => {
  const dataDir = t.testdir()
  const trial = await open(t, dataDir)
  const folder = await openFolder(t, dataDir)
  const [saves, fails] = [newGate(), newGate()]
  trial.work(async (run) => {
    if ((run.event as { id: string }).id === 'hangs') {
      await saves.opened
      await run.save({ done: ['first'] })
      await new Promise(() => {})
    }
    await fails.opened
    return { status: 'failed', error: new Error('late') }
  })
  await trial.queue.add(newEvent({ id: 'hangs', memberId: 'portal-b' }))
  await trial.queue.add(newEvent({ id: 'victim' }))
  await until(() => trial.runs.length === 2, 'both run')
  await sleep(50)
  // The disk is slow for a moment: the change of `save` takes 300 ms.
  const { root } = folder.tables
  const change = root.childTransaction.bind(root)
  root.childTransaction = (async (work: () => void) => {
    root.childTransaction = change
    await change(work)
    await sleep(300)
  }) as typeof root.childTransaction
  const stopped = trial.queue.stopWorking(500)
  await sleep(350)
  saves.open()
  await sleep(60)
  fails.open()
  await stopped
  const waiting = [...folder.tables.held.getKeys()].length + [...folder.tables.waiting.getKeys()].length
  t.equal(waiting, 2, 'each of the two')
})

t.test('a change that is not stored once stalls nothing, though no sign of life is due', async t => {
  const dataDir = t.testdir()
  const trial = await open(t, dataDir, { stalledAfterMs: 3_600_000, backoffMs: 300 })
  const folder = await openFolder(t, dataDir)
  let runs = 0
  trial.work(() => ++runs === 1 ? { status: 'failed', error: new Error('once') } : undefined)
  await trial.queue.add(newEvent())
  await until(() => runs === 1, 'it fails')
  await sleep(100)
  const { root } = folder.tables
  const change = root.childTransaction.bind(root)
  root.childTransaction = (async (work: () => void) => {
    root.childTransaction = change
    await change(() => { work(); throw new Error('No space left on device') }).catch(() => {})
    throw Object.assign(new Error('No space left on device'), { code: 'ENOSPC' })
  }) as typeof root.childTransaction
  await until(() => runs === 2, 'it is tried again', 5_000)
  t.equal(trial.errors.length, 1)
})

t.test('what a process dies of', async t => {
  await t.test('loses nothing that was added when the process is killed', async t => {
    const dataDir = t.testdir()
    const child = new EmbeddedChild(t, 'add', dataDir)
    await until(() => child.said('added').length >= 200, '200 are added')
    await child.kill()
    const trial = await open(t, dataDir)
    trial.work()
    await trial.settled()
    t.strictSame(child.said('added').filter(id => !trial.ids.includes(id as string)), [])
    t.equal(new Set(trial.ids).size, trial.ids.length)
  })

  await t.test('makes a dead letter of an event that kills its process each time', async t => {
    const dataDir = t.testdir()
    const trial = await open(t, dataDir)
    await trial.queue.add(newEvent({ id: 'killer', payload: 'kill' }))
    for (const attempt of [1, 2]) {
      const child = new EmbeddedChild(t, 'work', dataDir, { attempts: 2 })
      await child.ended
      t.strictSame(child.lines, [{ began: 'killer', attempt }])
      t.strictSame(await trial.queue.counts(), { waiting: 0, active: 1, dead: 0 })
    }
    const child = new EmbeddedChild(t, 'work', dataDir, { attempts: 2 })
    await until(() => child.said('dead').length === 1, 'it is dead')
    t.match(await trial.queue.deadLetters.get('killer'), { attempts: 2, error: { message: 'The process ended during the attempt' } })
    await trial.queue.add(newEvent({ id: 'other' }))
    await until(() => child.said('began').includes('other'), 'the next one is handled')
  })

  await t.test('takes over at once from a worker that was killed', async t => {
    const dataDir = t.testdir()
    const trial = await open(t, dataDir)
    const child = new EmbeddedChild(t, 'work', dataDir)
    const events = ['1', '2', '3', '4'].map(id => newEvent({ id, item: 'deal:1', payload: 'hang' }))
    const repeats = ['5', '6'].map(id => newEvent({ id, item: 'deal:5', coalesce: true, payload: 'hang' }))
    for (const event of events) await trial.queue.add(event)
    await trial.queue.add(repeats[0]!)
    await until(() => child.said('began').length === 2, 'two run')
    await trial.queue.add(repeats[1]!)
    trial.work()
    t.strictSame(await trial.queue.counts(), { waiting: 4, active: 2, dead: 0 })
    await child.kill()
    await trial.settled()
    t.strictSame(trial.runs.filter(({ id }) => id < '5'), [['1', 2], ['2', 1], ['3', 1], ['4', 1]].map(([id, attempt]) => ({ id, attempt, coalesced: 1 })))
    t.strictSame(trial.runs.filter(({ id }) => id >= '5'), [{ id: '6', attempt: 2, coalesced: 2 }])
  })
})

t.test('two workers on one folder', async t => {
  await t.test('takes over from a worker that stands still; that one aborts, and stores nothing', async t => {
    const dataDir = t.testdir()
    const trial = await open(t, dataDir, { stalledAfterMs: 600 })
    const child = new EmbeddedChild(t, 'work', dataDir, { stalledAfterMs: 600 })
    await trial.queue.add(newEvent({ id: 'long', payload: 'hang' }))
    await until(() => child.said('began').length === 1, 'it runs')
    let end = (): void => {}
    const gate = new Promise<void>(resolve => { end = resolve })
    trial.work(async () => { await gate })
    // One that stands still in the middle of a commit keeps all others out.
    for (let stops = 0; trial.runs.length === 0 && stops < 3; stops++) {
      child.signal('SIGSTOP')
      await until(() => trial.runs.length === 1, 'it runs here', 4_000).catch(() => {})
      child.signal('SIGCONT')
    }
    await until(() => child.said('aborted').length === 1, 'it is aborted there')
    t.match(child.lines.at(-1), { aborted: 'long', reason: UNAVAILABLE.code, saved: UNAVAILABLE.code })
    t.strictSame(await trial.queue.counts(), { waiting: 0, active: 1, dead: 0 })
    end()
    await trial.settled()
    t.strictSame(trial.runs, [{ id: 'long', attempt: 2, coalesced: 1 }])
    await trial.queue.add(newEvent({ id: 'mine' }))
    await trial.settled()
    t.strictSame(child.said('began'), ['long'])
    await trial.queue.close(1_000)
    const later = await open(t, dataDir)
    await later.queue.add(newEvent({ id: 'theirs' }))
    await until(() => child.said('began').includes('theirs'), 'it works again')
    t.strictSame(trial.ids, ['long', 'mine'])
  })

  await t.test('lets go what was given to another worker, and works again when that one is gone', async t => {
    const dataDir = t.testdir()
    const { commits, tables } = await openFolder(t, dataDir)
    const trial = await open(t, dataDir)
    const answers: unknown[] = []
    let goOn = (): void => {}
    const gate = new Promise<void>(resolve => { goOn = resolve })
    trial.work(async ({ signal, attempt, save }) => {
      if (attempt > 1) return
      await once(signal, 'abort')
      answers.push(signal.reason.code, await save('late').then(() => 'saved', error => error.code))
      await gate
    })
    await trial.queue.add(newEvent({ id: '1' }))
    await until(() => trial.runs.length === 1, 'it runs')
    await commits.write(() => { tables.meta.put('owner', 'another') })
    await until(() => answers.length === 2, 'it is aborted')
    t.strictSame(answers, [UNAVAILABLE.code, UNAVAILABLE.code])
    goOn()
    t.strictSame(await trial.queue.counts(), { waiting: 0, active: 1, dead: 0 })
    await commits.write(() => { tables.meta.remove('owner') })
    await trial.settled()
    t.strictSame(trial.runs.map(({ attempt }) => attempt), [1, 2])
  })

  await t.test('does not store what a run saves when its lease was lost meanwhile', async t => {
    const dataDir = t.testdir()
    const { commits, tables } = await openFolder(t, dataDir)
    const trial = await open(t, dataDir)
    let answer: unknown
    trial.work(async ({ attempt, save }) => {
      if (attempt > 1) return
      const lost = commits.writeInTime(() => { tables.meta.put('owner', 'another') })
      answer = await save('late').then(() => 'saved', error => error.code)
      await lost
      await commits.write(() => { tables.meta.remove('owner') })
      return { status: 'later', delayMs: 0 }
    })
    await trial.queue.add(newEvent())
    await trial.settled()
    t.equal(answer, UNAVAILABLE.code)
  })

  await t.test('keeps its lease while it is idle, and while a run takes long', async t => {
    const dataDir = t.testdir()
    const [one, two] = [await open(t, dataDir, { stalledAfterMs: 800 }), await open(t, dataDir, { stalledAfterMs: 800 })]
    one.work(async () => await sleep(1_500))
    await one.queue.add(newEvent())
    await until(() => one.runs.length === 1, 'it runs')
    two.work()
    await one.settled()
    await sleep(1_500)
    await two.queue.add(newEvent())
    await one.settled()
    t.equal(one.runs.length, 2)
    t.equal(two.runs.length, 0)
  })

  await t.test('does not take a worker for dead that is of another machine, before its time is over', async t => {
    const dataDir = t.testdir()
    const { commits, tables } = await openFolder(t, dataDir)
    for (const sign of [JSON.stringify({ pid: 999_999_999, processes: 'elsewhere', beat: 1 }), 'no JSON']) {
      await commits.write(() => {
        tables.meta.put('owner', 'somebody')
        tables.meta.put('sign', sign)
      })
      const trial = await open(t, dataDir, { stalledAfterMs: 700 })
      const began = performance.now()
      trial.work()
      await trial.queue.add(newEvent())
      await trial.settled()
      t.ok(performance.now() - began >= 700)
      await trial.queue.close(100)
    }
  })
})
