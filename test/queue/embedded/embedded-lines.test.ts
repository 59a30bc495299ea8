import t from 'tap'
import { keysOf } from '../../../src/queue/embedded/embedded-keys.ts'
import { lineOf, parseLine } from '../../../src/queue/embedded/embedded-lines.ts'
import { until } from '../../helpers/until.ts'
import { newEvent, open, openFolder } from './embedded-trial.ts'

t.test('a line', async t => {
  await t.test('is read as it was written', async t => {
    for (const over of [{}, { turn: '? somebody' }, { item: 'deal:1', coalesce: true }, { first: true, payload: { text: 'a\tb\nc' } }]) {
      const event = newEvent(over)
      t.strictSame(parseLine(lineOf(event)), { keys: keysOf(event), event: JSON.stringify(event) })
      t.strictSame(parseLine(lineOf(event, { coalesced: 5, progress: 'half' })), { keys: keysOf(event), event: JSON.stringify(event), replayed: { coalesced: 5, progress: 'half' } })
      t.notMatch(lineOf(event), '\n')
    }
  })

  await t.test('counts as an event where it is none', async t => {
    for (const line of ['', 'no JSON', 'no\tJSON', 'null\t{}']) t.strictSame(parseLine(line), { keys: keysOf(null), event: JSON.stringify(line) })
    t.strictSame(parseLine('{"replayed":"x"}\t{}').replayed?.coalesced, 1)
  })
})

t.test('lines', async t => {
  await t.test('are taken in their order, those of lane 0 before others, and counted', async t => {
    const { tables: { intake }, commits } = await openFolder(t, t.testdir())
    t.equal(intake.size, 0)
    const linesOf = (name: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${name}${i}`)
    await commits.write(() => {
      for (const line of linesOf('a', 5)) intake.put(1, line)
      for (const line of linesOf('b', 3)) intake.put(0, line)
      for (const line of linesOf('c', 2)) intake.put(1, line)
    })
    t.equal(intake.size, 10)
    const taken: string[] = []
    await commits.write(() => {
      for (let line = intake.take(); line !== undefined; line = intake.take()) taken.push(line)
    })
    t.strictSame(taken, [...linesOf('b', 3), ...linesOf('a', 5), ...linesOf('c', 2)])
    t.equal(intake.size, 0)
  })

  await t.test('are one frame of the journal for all that come at once', async t => {
    const dataDir = t.testdir()
    const { journal, commits } = await openFolder(t, dataDir)
    const { queue } = await open(t, dataDir)
    await Promise.all(Array.from({ length: 50 }, async () => await queue.add(newEvent())))
    t.strictSame(await queue.counts(), { waiting: 50, active: 0, dead: 0 })
    await commits.write(() => { t.strictSame(Array.from(journal.take(), ({ length }) => length), [50]) })
  })

  await t.test('of others are dead letters, and keep nothing back', async t => {
    const dataDir = t.testdir()
    const { tables: { intake }, commits } = await openFolder(t, dataDir)
    await commits.write(() => { for (const line of ['no JSON', '{"memberId":"a"}\tno JSON', '{"memberId":7,"item":8}\t{"id":9}', '', '[]\tnull']) intake.put(1, line) })
    const trial = await open(t, dataDir)
    t.strictSame(await trial.queue.counts(), { waiting: 5, active: 0, dead: 0 })
    trial.work(({ event }) => (event as { id?: unknown } | null)?.id === 'known' ? undefined : { status: 'dead', error: new Error('unknown') })
    await trial.queue.add(newEvent({ id: 'known' }))
    await until(() => trial.dead.length === 5 && trial.ids.includes('known'), 'all are handled')
    await trial.settled()
    t.equal((await trial.queue.counts()).dead, 5)
  })

  await t.test('are left for the next worker when this one closes', async t => {
    const dataDir = t.testdir()
    const { tables: { intake }, commits } = await openFolder(t, dataDir)
    const trial = await open(t, dataDir)
    trial.work()
    await trial.queue.add(newEvent())
    await trial.settled()
    await Promise.all([
      commits.write(() => { for (let i = 0; i < 1_000; i++) intake.put(1, lineOf(newEvent({ id: String(i) }))) }),
      trial.queue.close(1_000)
    ])
    const after = await open(t, dataDir)
    const { waiting } = await after.queue.counts()
    t.equal(waiting + trial.runs.length - 1, 1_000)
    after.work()
    await after.settled()
    t.equal(new Set([...trial.ids, ...after.ids]).size, 1_001)
  })
})
