import { once } from 'node:events'
import { renameSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { EmbeddedFolder } from '../../src/queue/embedded-folder.ts'
import { openEmbeddedQueue, type EmbeddedQueueSettings } from '../../src/queue/embedded-queue.ts'
import type { DeadLetter, EventQueue, Outcome, QueuedEvent, Run } from '../../src/queue/queue.ts'
import { until } from '../helpers/until.ts'
import { EmbeddedChild as Child } from './embedded-child.ts'

const UNAVAILABLE = { code: 'FST_B24_STORE_UNAVAILABLE', statusCode: 503 }

t.setTimeout(300_000)

t.test('what a process dies of', async t => {
  await t.test('loses nothing that was added when the process is killed', async t => {
    const dataDir = t.testdir()
    const child = new Child(t, 'add', dataDir)
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
      const child = new Child(t, 'work', dataDir, { attempts: 2 })
      await child.ended
      t.strictSame(child.lines, [{ began: 'killer', attempt }])
      t.strictSame(await trial.queue.counts(), { waiting: 0, active: 1, dead: 0 })
    }
    const child = new Child(t, 'work', dataDir, { attempts: 2 })
    await until(() => child.said('dead').length === 1, 'it is dead')
    t.match(await trial.queue.deadLetters.get('killer'), { attempts: 2, error: { message: 'The process ended during the attempt' } })
    await trial.queue.add(newEvent({ id: 'other' }))
    await until(() => child.said('began').includes('other'), 'the next one is handled')
  })

  await t.test('takes over at once from a worker that was killed', async t => {
    const dataDir = t.testdir()
    const trial = await open(t, dataDir)
    const child = new Child(t, 'work', dataDir)
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
    const child = new Child(t, 'work', dataDir, { stalledAfterMs: 600 })
    await trial.queue.add(newEvent({ id: 'long', payload: 'hang' }))
    await until(() => child.said('began').length === 1, 'it runs')
    let end = (): void => {}
    const gate = new Promise<void>(resolve => { end = resolve })
    trial.work(async () => { await gate })
    child.signal('SIGSTOP')
    await until(() => trial.runs.length === 1, 'it runs here')
    child.signal('SIGCONT')
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
    const { commits, tables } = await folder(t, dataDir)
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
    const { commits, tables } = await folder(t, dataDir)
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

  await t.test('does not take a worker for dead that is of another machine, before its time is over', async t => {
    const dataDir = t.testdir()
    const { commits, tables } = await folder(t, dataDir)
    await commits.write(() => {
      tables.meta.put('owner', 'somebody')
      tables.meta.put('sign', JSON.stringify({ pid: 999_999_999, processes: 'elsewhere', beat: 1 }))
    })
    const trial = await open(t, dataDir, { stalledAfterMs: 700 })
    const began = performance.now()
    trial.work()
    await trial.queue.add(newEvent())
    await trial.settled()
    t.ok(performance.now() - began >= 700)
  })
})

t.test('trouble with the disk', async t => {
  await t.test('stores nothing on a full disk and says so, and recovers when there is space', async t => {
    const child = new Child(t, 'fill', t.testdir())
    await child.ended
    const { stored, handled, refused } = child.lines.at(-1) as Record<string, unknown[]>
    t.ok(refused!.length >= 2)
    for (const refusal of refused!) t.strictSame(refusal, [UNAVAILABLE.code, 'Input/output error'])
    t.ok(stored!.length >= 2 && stored!.includes('after'))
    t.strictSame(handled!.toSorted(), stored!.toSorted())
    t.strictSame(child.said('onError'), [UNAVAILABLE.code])
  })

  await t.test('answers in time while another process keeps the folder locked', async t => {
    const dataDir = t.testdir()
    const trial = await open(t, dataDir)
    trial.work()
    const child = new Child(t, 'lock', dataDir)
    await until(() => child.lines.includes('locked'), 'it is locked')
    const began = performance.now()
    await t.rejects(trial.queue.add(newEvent({ id: 'early' })), UNAVAILABLE)
    await t.rejects(trial.queue.deadLetters.discard('any'), UNAVAILABLE)
    t.ok(performance.now() - began < 2_200)
    await child.ended
    await trial.queue.add(newEvent({ id: 'late' }))
    await trial.settled()
    t.strictSame(trial.ids, ['late'])
  })

  await t.test('closes in time while another process keeps the folder locked', async t => {
    const dataDir = t.testdir()
    const trial = await open(t, dataDir)
    trial.work(async () => await new Promise(() => {}))
    await trial.queue.add(newEvent({ id: '1' }))
    await until(() => trial.runs.length === 1, 'it runs')
    const child = new Child(t, 'lock', dataDir)
    await until(() => child.lines.includes('locked'), 'it is locked')
    const began = performance.now()
    await trial.queue.close(100)
    t.ok(performance.now() - began < 2_300)
    t.ok(trial.errors.every(({ code }) => code === UNAVAILABLE.code))
    await child.ended
    const again = await open(t, dataDir)
    again.work()
    await again.settled()
    t.strictSame(again.runs, [{ id: '1', attempt: 1, coalesced: 1 }])
  })

  await t.test('answers FST_B24_STORE_UNAVAILABLE where LMDB cannot be read, and goes on when it can', async t => {
    const dataDir = t.testdir()
    const { tables } = await folder(t, dataDir)
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
    const child = new Child(t, 'open', t.testdir())
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

t.test('a clock that is put back', async t => {
  await t.test('holds nothing back for longer than it was to be', async t => {
    const dataDir = t.testdir()
    const before = await open(t, dataDir, { backoffMs: 500, now: () => Date.now() + 7_200_000 })
    before.work(() => ({ status: 'failed', error: new Error('no luck') }))
    for (const id of ['1', '2']) await before.queue.add(newEvent({ id }))
    await until(async () => before.runs.length === 2 && (await before.queue.counts()).waiting === 2, 'both are held back')
    await before.queue.close(100)
    const after = await open(t, dataDir)
    after.work()
    await after.settled()
    t.strictSame(after.runs.map(({ id, attempt }) => [id, attempt]).sort(), [['1', 2], ['2', 2]])
  })

  await t.test('goes on while it runs, and keeps the order of dead letters', async t => {
    let ahead = 0
    const trial = await open(t, t.testdir(), { attempts: 2, now: () => Date.now() + ahead })
    trial.work(() => ({ status: 'failed', error: new Error('no luck') }))
    for (const id of ['1', '2']) {
      await trial.queue.add(newEvent({ id }))
      await until(() => trial.runs.length % 2 === 1, 'it has been tried')
      ahead -= 7_200_000
      await trial.settled()
    }
    t.strictSame((await trial.queue.deadLetters.list()).letters.map(({ id }) => id), ['2', '1'])
  })
})

t.test('records of others', async t => {
  await t.test('hands out what it cannot read, and keeps it as a dead letter', async t => {
    const dataDir = t.testdir()
    const { commits, tables } = await folder(t, dataDir)
    const records = ['no JSON', 'null', '[]', '{"event":null}', '{"event":{"id":7,"memberId":8,"item":9},"attempt":"x"}', '{"event":{"id":"known","memberId":"a","code":"X"}}']
    await commits.write(() => {
      for (const [i, record] of records.entries()) {
        const seq = commits.nextSeq()
        tables.records.put(seq, record)
        tables.waiting.put([i % 2, '["a"]', seq], '')
      }
      tables.waiting.put([1, '["nothing"]', commits.nextSeq()], '')
      tables.running.put(commits.nextSeq(), '')
    })
    const trial = await open(t, dataDir)
    const events: unknown[] = []
    const answers: unknown[] = [null, 'a text', { message: 5 }]
    trial.work(({ event }) => {
      events.push(event)
      return { status: 'dead', error: (events.length > 3 ? new Error('unknown') : answers[events.length - 1]) as Error }
    })
    await until(() => trial.dead.length === 6, 'all are dead')
    await trial.settled()
    t.equal(events.length, 6)
    const { letters } = await trial.queue.deadLetters.list()
    t.equal(letters.length, 6)
    t.ok(letters.every(({ memberId, code, receivedAt }) => typeof memberId === 'string' && typeof code === 'string' && receivedAt > 0))
    t.strictSame(letters.flatMap(({ event }) => event ?? []), [{ id: 'known', memberId: 'a', code: 'X' }])
    t.equal(await trial.queue.deadLetters.replay(letters.at(-1)!.id), true)
    await until(() => events.length === 7, 'it is tried again')
  })

  await t.test('lists dead letters that it cannot read', async t => {
    const dataDir = t.testdir()
    const { commits, tables } = await folder(t, dataDir)
    await commits.write(() => {
      for (const text of ['no JSON', 'null', '{}', '{"record":{"event":{"memberId":"a"}}}']) tables.dead.put(commits.nextSeq(), text)
    })
    const { queue } = await open(t, dataDir, { deadLetters: { maxAgeMs: Infinity, maxCount: 1_000 } })
    const { letters } = await queue.deadLetters.list()
    t.strictSame(letters.map(({ memberId, code, error }) => [memberId, code, error.message]), [['a', '', ''], ['', '', ''], ['', '', ''], ['', '', '']])
    t.strictSame(await queue.deadLetters.list({}, 'not a cursor'), { letters: [] })
    await open(t, dataDir)
    t.strictSame(await queue.deadLetters.list(), { letters: [] }, 'they are too old for anybody else')
  })
})

t.test('dead letters', async t => {
  await t.test('buries what has run out of attempts when its worker died', async t => {
    const dataDir = t.testdir()
    const { commits, tables } = await folder(t, dataDir)
    await commits.write(() => {
      for (const attempt of [1, 2]) {
        const seq = commits.nextSeq()
        tables.records.put(seq, JSON.stringify({ event: newEvent({ id: `${attempt}` }), attempt, coalesced: 1 }))
        tables.running.put(seq, '')
      }
    })
    const trial = await open(t, dataDir)
    trial.work()
    await trial.settled()
    t.strictSame(trial.runs, [{ id: '1', attempt: 3, coalesced: 1 }])
    t.match(trial.dead, [{ id: '2', attempts: 3, error: { message: 'The process ended during the attempt' } }])
  })

  await t.test('keeps one of two that have the same id', async t => {
    const trial = await open(t, t.testdir())
    trial.work(() => ({ status: 'dead', error: new Error('no luck') }))
    for (const payload of ['old', 'new']) {
      await trial.queue.add(newEvent({ id: '1', payload }))
      await trial.settled()
    }
    t.match(await trial.queue.deadLetters.list(), { letters: [{ id: '1', event: { payload: 'new' } }] })
    t.equal((await trial.queue.counts()).dead, 1)
  })

  await t.test('becomes one with a repeat that waits when it is put back', async t => {
    const dataDir = t.testdir()
    const trial = await open(t, dataDir)
    trial.work(() => ({ status: 'dead', error: new Error('no luck') }))
    const event = newEvent({ id: '1', item: 'deal:1', coalesce: true })
    await trial.queue.add(event)
    await until(() => trial.dead.length === 1, 'it is dead')
    await trial.queue.close(100)
    const later = await open(t, dataDir)
    await later.queue.add({ ...event, id: '2' })
    t.equal(await later.queue.deadLetters.replay('1'), true)
    later.work()
    await later.settled()
    t.strictSame(later.runs, [{ id: '2', attempt: 1, coalesced: 2 }])
  })

  await t.test('takes whatever a process answers', async t => {
    const trial = await open(t, t.testdir(), { attempts: 1 })
    trial.queue.work(async () => undefined as never, { concurrency: 1, onDead: letter => trial.dead.push(letter) })
    await trial.queue.add(newEvent({ id: '1' }))
    await trial.settled()
    t.strictSame(trial.dead.map(({ id }) => id), ['1'])
  })
})

t.test('many at once', async t => {
  await t.test('handles thousands of one busy item in order, and others of the portal meanwhile', async t => {
    const trial = await open(t, t.testdir())
    const events = Array.from({ length: 1_000 }, (_, i) => newEvent({ id: String(i), item: 'deal:1' }))
    await Promise.all(events.map(async event => await trial.queue.add(event)))
    await trial.queue.add(newEvent({ id: 'other', item: 'deal:2' }))
    trial.work()
    await trial.settled(60_000)
    t.strictSame(trial.ids.filter(id => id !== 'other'), events.map(({ id }) => id))
    t.ok(trial.ids.indexOf('other') < 500, `as number ${trial.ids.indexOf('other')}`)
  })

  await t.test('releases hundreds that were held back for the same time', async t => {
    const trial = await open(t, t.testdir(), { backoffMs: 1 })
    await Promise.all(Array.from({ length: 500 }, async () => await trial.queue.add(newEvent())))
    trial.work(({ attempt }) => attempt === 1 ? { status: 'later', delayMs: trial.runs.length > 500 ? 0 : 300 } : undefined, 100)
    await until(() => trial.runs.length >= 1_500, 'each has come three times')
  })
})

interface Seen extends Pick<Run, 'attempt' | 'coalesced'> {
  id: string
}

interface Trial {
  queue: EventQueue
  runs: Seen[]
  ids: string[]
  dead: DeadLetter[]
  errors: NodeJS.ErrnoException[]
  work (handle?: (run: Run) => Promise<Outcome | void> | Outcome | undefined, concurrency?: number): void
  settled (ms?: number): Promise<void>
}

/** A queue that writes down its runs. */
async function open (t: Test, dataDir: string, over: Partial<EmbeddedQueueSettings> = {}, app = 'app'): Promise<Trial> {
  const errors: NodeJS.ErrnoException[] = []
  const queue = await openEmbeddedQueue(dataDir, app, {
    attempts: 3,
    backoffMs: 10,
    stalledAfterMs: 60_000,
    deadLetters: { maxAgeMs: 3_600_000, maxCount: 1_000 },
    onError: error => errors.push(error),
    ...over
  })
  t.teardown(() => queue.close(100))
  const runs: Seen[] = []
  const dead: DeadLetter[] = []
  return {
    queue,
    runs,
    dead,
    errors,
    get ids () { return runs.map(({ id }) => id) },
    work (handle = () => undefined, concurrency = 8) {
      queue.work(async (run) => {
        runs.push({ id: (run.event as QueuedEvent | null)?.id ?? '', attempt: run.attempt, coalesced: run.coalesced })
        return await handle(run) ?? { status: 'done' }
      }, { concurrency, onDead: letter => dead.push(letter) })
    },
    async settled (ms) {
      await until(async () => {
        const { waiting, active } = await queue.counts()
        return waiting === 0 && active === 0
      }, 'nothing waits and nothing runs', ms)
    }
  }
}

/** The folder of the queue from the inside. */
async function folder (t: Test, dataDir: string): Promise<EmbeddedFolder> {
  const folder = await EmbeddedFolder.open(dataDir, 'app')
  t.teardown(() => folder.close())
  return folder
}

function newEvent (over: Partial<QueuedEvent> = {}): QueuedEvent {
  return { id: Math.random().toString(36), memberId: 'portal-a', code: 'ONCRMDEALUPDATE', receivedAt: Date.now(), payload: null, ...over }
}
