import { appendFileSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
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
    const { writer, journal, commits, tables } = await openFolder(t, t.testdir())
    await Promise.all(['one', 'two'].map(line => writer.takeIn(line)))
    await writer.takeIn('three')
    const count = (): number => tables.read(() => journal.count(() => tables.refresh()))
    t.equal(count(), 3)
    await commits.write(() => {
      const [lines] = journal.take()
      t.equal(lines!.length, 2)
    })
    t.equal(count(), 1)
    await commits.write(() => { t.equal([...journal.take()].length, 1) })
    t.equal(count(), 0)
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
  await t.test('are kept until the change that read them is stored, and their places until they are gone', async t => {
    const dataDir = t.testdir()
    const { writer, journal, commits, tables } = await openFolder(t, dataDir)
    await writer.takeIn('line')
    await writer.close()
    await t.rejects(commits.write(() => {
      t.strictSame([...journal.take()], [['line']])
      throw new Error('a bad change')
    }))
    const places = (): string[] => tables.read(() => [...tables.places.getKeys()])
    await journal.tidy()
    t.equal(filesIn(dataDir).length, 1)
    await commits.write(() => { t.strictSame([...journal.take()], [['line']]) })
    t.equal(places().length, 1)
    await journal.tidy()
    t.equal(filesIn(dataDir).length, 0)
    t.equal(places().length, 1, 'a file that comes back after a power failure is not read again')
    await commits.write(() => journal.forgetGone())
    t.strictSame(places(), [])
  })

  await t.test('that cannot be read keep nothing else back, and the log is told once', async t => {
    const dataDir = t.testdir()
    const warnings: string[] = []
    const trial = await open(t, dataDir, { stalledAfterMs: 400, onWarning: problem => warnings.push(problem) })
    await trial.queue.add(newEvent({ id: '1' }))
    const strange = join(dataDir, 'app', 'journal', '0-1-2-3.sealed')
    mkdirSync(strange)
    t.strictSame(await trial.queue.counts(), { waiting: 1, active: 0, dead: 0 })
    trial.work()
    await trial.settled()
    await trial.queue.add(newEvent({ id: '2' }))
    await trial.settled()
    t.strictSame(trial.ids, ['1', '2'])
    await until(() => warnings.length > 0, 'it is told')
    await sleep(500)
    t.strictSame(warnings.map(warning => warning.startsWith(`${strange} cannot be used, so that events in it wait: EISDIR`)), [true])
    t.strictSame(trial.errors, [])
  })

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
