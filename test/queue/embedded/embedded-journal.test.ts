import { appendFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { until } from '../../helpers/until.ts'
import { EmbeddedChild } from './embedded-child.ts'
import { newEvent, open, openFolder } from './embedded-trial.ts'

t.setTimeout(120_000)

const filesIn = (dataDir: string): string[] => readdirSync(join(dataDir, 'app', 'journal')).sort()

t.test('what is taken out of the journal', async t => {
  await t.test('comes again when the change is not stored, and once when it is', async t => {
    const { writer, journal, commits } = await openFolder(t, t.testdir())
    await Promise.all(['one', 'two'].map(line => writer.takeIn(line)))
    await writer.takeIn('three')
    const taken: string[][] = []
    await t.rejects(commits.write(() => {
      taken.push(...journal.take())
      throw new Error('a bad change')
    }))
    await commits.write(() => {
      const [lines] = journal.take()
      taken.push(lines!)
    })
    await commits.write(() => { taken.push(...journal.take()) })
    t.strictSame(taken, [['one', 'two'], ['three'], ['one', 'two'], ['three']])
    await commits.write(() => { t.strictSame([...journal.take()], []) })
    t.equal(journal.isEmpty, true)
  })

  await t.test('is counted until then', async t => {
    const { writer, journal, commits } = await openFolder(t, t.testdir())
    await Promise.all(['one', 'two'].map(line => writer.takeIn(line)))
    const before = journal.count()
    t.equal(before(), 2)
    await commits.write(() => { t.equal([...journal.take()].length, 1) })
    t.equal(before(), 0)
  })

  await t.test('goes on from where it was, whatever others add', async t => {
    const dataDir = t.testdir()
    const first = await openFolder(t, dataDir)
    for (const line of ['one', 'two']) await first.writer.takeIn(line)
    await first.commits.write(() => {
      const [lines] = first.journal.take()
      t.strictSame(lines, ['one'])
    })
    const second = new EmbeddedChild(t, 'add', dataDir)
    await until(() => second.said('added').length > 5, 'another process adds')
    await second.kill()
    await first.commits.write(() => {
      const [lines] = first.journal.take()
      t.strictSame(lines, ['two'])
    })
  })
})

t.test('segments', async t => {
  await t.test('are removed when all of them was handled and their process has ended, killed or not', async t => {
    const dataDir = t.testdir()
    const child = new EmbeddedChild(t, 'add', dataDir)
    await until(() => child.said('added').length >= 50, '50 are added')
    await child.kill()
    const early = await open(t, dataDir)
    await early.queue.add(newEvent({ id: 'early' }))
    await early.queue.close(0)
    t.equal(filesIn(dataDir).length, 2)

    const trial = await open(t, dataDir, { stalledAfterMs: 400 })
    trial.work()
    await until(() => filesIn(dataDir).length === 0, 'none is left')
    await trial.settled()
    t.strictSame([...child.said('added'), 'early'].filter(id => !trial.ids.includes(id as string)), [])
    t.equal(new Set(trial.ids).size, trial.ids.length, 'each of them once')
    await trial.queue.add(newEvent({ id: 'late' }))
    await trial.settled()
    t.equal(trial.ids.at(-1), 'late')
    t.equal(filesIn(dataDir).length, 1, 'this process may go on to write to it')
  })

  await t.test('are kept where something in them cannot be read, and the log is told', async t => {
    const dataDir = t.testdir()
    const before = await open(t, dataDir)
    await before.queue.add(newEvent({ id: 'whole' }))
    await before.queue.close(0)
    const [file] = filesIn(dataDir)
    appendFileSync(join(dataDir, 'app', 'journal', file!), 'half a frame')
    const warnings: string[] = []
    const trial = await open(t, dataDir, { stalledAfterMs: 400, onWarning: problem => warnings.push(problem) })
    trial.work()
    await until(() => warnings.length === 1, 'it is told')
    t.strictSame(trial.ids, ['whole'])
    const [kept] = filesIn(dataDir)
    t.equal(kept, file!.replace('.sealed', '.torn'))
    t.ok(warnings[0]!.startsWith(`${join(dataDir, 'app', 'journal', kept!)} ends with something that cannot be read`))
    t.strictSame(await trial.queue.counts(), { waiting: 0, active: 0, dead: 0 })
  })
})
