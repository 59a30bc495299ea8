import t from 'tap'
import { until } from '../../helpers/until.ts'
import { newEvent, open, openFolder } from './embedded-trial.ts'

t.setTimeout(300_000)

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
    const { commits, tables } = await openFolder(t, dataDir)
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
    const { commits, tables } = await openFolder(t, dataDir)
    await commits.write(() => {
      for (const text of ['no JSON', 'null', '{}', '{"record":{"event":{"memberId":"a"}}}']) tables.dead.put(commits.nextSeq(), text)
    })
    const { queue } = await open(t, dataDir, { deadLetters: { maxAgeMs: Infinity, maxCount: 1_000 } })
    const { letters } = await queue.deadLetters.list()
    t.strictSame(letters.map(({ memberId, code, error }) => [memberId, code, error.message]), [['a', '', ''], ['', '', ''], ['', '', ''], ['', '', '']])
    await open(t, dataDir)
    t.strictSame(await queue.deadLetters.list(), { letters: [] }, 'they are too old for anybody else')
  })
})

t.test('dead letters', async t => {
  await t.test('buries what has run out of attempts when its worker died', async t => {
    const dataDir = t.testdir()
    const { commits, tables } = await openFolder(t, dataDir)
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
