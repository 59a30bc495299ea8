import { readdirSync, renameSync, rmSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { JournalReader } from '../../../src/queue/journal/journal-reader.ts'
import { JournalWriter } from '../../../src/queue/journal/journal-writer.ts'
import { until } from '../../helpers/until.ts'

const UNAVAILABLE = { code: 'FST_B24_STORE_UNAVAILABLE', statusCode: 503 }
const SEGMENT = 2 ** 20

interface Trial {
  folder: string
  writer: JournalWriter
  reader: JournalReader
  files (): string[]
  lines (): string[]
}

function newTrial (t: Test, assertThere = (): void => {}): Trial {
  const folder = join(t.testdir(), 'journal')
  const [writer, reader] = [new JournalWriter(folder, assertThere), new JournalReader(folder)]
  t.teardown(async () => {
    await writer.close()
    reader.close()
  })
  return {
    folder,
    writer,
    reader,
    files: () => readdirSync(folder).sort(),
    lines: () => reader.look().flatMap(segment => [...segment.framesFrom(0)]).flatMap(({ lines }) => lines)
  }
}

const suffixes = (files: string[]): string[] => files.map(file => file.slice(file.lastIndexOf('.')))

t.test('a journal', async t => {
  await t.test('has nothing before something is taken in, and makes no file', async t => {
    const { reader, folder } = newTrial(t)
    t.strictSame(reader.look(), [])
    t.throws(() => statSync(folder), { code: 'ENOENT' })
  })

  await t.test('has what was taken in, when it is answered', async t => {
    const { writer, lines, files, folder } = newTrial(t)
    await writer.takeIn('first')
    t.strictSame(lines(), ['first'])
    await Promise.all(['second', 'third'].map(line => writer.takeIn(line)))
    t.strictSame(lines(), ['first', 'second', 'third'])
    t.strictSame(suffixes(files()), ['.active'])
    if (process.platform !== 'win32') t.equal(statSync(join(folder, files()[0]!)).mode & 0o777, 0o600, 'for nobody else to read')
  })

  await t.test('goes on in another segment when one is full, in order', async t => {
    const { writer, lines, files, folder } = newTrial(t)
    const all = Array.from({ length: 250 }, (_, i) => `${i} ${'x'.repeat(10_000)}`)
    for (let i = 0; i < all.length; i += 10) await Promise.all(all.slice(i, i + 10).map(line => writer.takeIn(line)))
    t.strictSame(lines(), all)
    t.strictSame(suffixes(files()).slice(0, 3), ['.sealed', '.sealed', '.active'])
    t.ok(files().every(file => statSync(join(folder, file)).size <= SEGMENT))
    await writer.close()
    t.strictSame(lines(), all)
    t.ok(suffixes(files()).every(suffix => suffix === '.sealed'), 'also the one that was made ahead')
    t.ok(files().reduce((size, file) => size + statSync(join(folder, file)).size, 0) < 2_600_000, 'none is longer than what is in it')
  })

  await t.test('has a segment of its own for what is larger than one', async t => {
    const { writer, lines, files } = newTrial(t)
    const all = ['small', 'x'.repeat(3 * SEGMENT), 'small too']
    for (const line of all) await writer.takeIn(line)
    t.strictSame(lines(), all)
    t.equal(files().length, 3)
  })

  await t.test('is that of any number of writers', async t => {
    const { writer, lines, folder } = newTrial(t)
    const other = new JournalWriter(folder, () => {})
    await Promise.all([writer.takeIn('one'), other.takeIn('two')])
    await other.close()
    await writer.takeIn('three')
    t.strictSame(lines().sort(), ['one', 'three', 'two'])
  })
})

t.test('a writer', async t => {
  await t.test('writes again, to another segment, where somebody shut or took away the one it had', async t => {
    for (const meddle of [
      (path: string) => renameSync(path, path.replace('.active', '.sealed')),
      (path: string) => rmSync(path)
    ]) {
      const { writer, lines, files, folder } = newTrial(t)
      await writer.takeIn('first')
      meddle(join(folder, files()[0]!))
      await writer.takeIn('second')
      t.ok(lines().includes('second'))
      t.equal(suffixes(files()).at(-1), '.active')
    }
  })

  await t.test('uses no segment made ahead that was taken away meanwhile', async t => {
    const { writer, lines, files, folder } = newTrial(t)
    const third = 'x'.repeat(SEGMENT * 0.3)
    for (let i = 0; i < 3; i++) await writer.takeIn(third)
    await until(() => files().length === 2 && statSync(join(folder, files()[1]!)).size === SEGMENT, 'one is made ahead')
    rmSync(join(folder, files()[1]!))
    await writer.takeIn(third)
    t.strictSame(lines(), Array(4).fill(third))
  })

  await t.test('takes nothing in where the folder is another one, and does when it is back', async t => {
    let isThere = false
    const { writer, lines } = newTrial(t, () => { if (!isThere) throw new Error('The folder is another one now') })
    await t.rejects(writer.takeIn('early'), { ...UNAVAILABLE, cause: { message: 'The folder is another one now' } })
    isThere = true
    await writer.takeIn('late')
    t.strictSame(lines(), ['late'])
  })

  await t.test('does not begin to write what nobody waits for any more', async t => {
    const { writer, lines } = newTrial(t)
    await writer.takeIn('first')
    const slow = writer.takeIn('slow')
    for (let turn = 0; turn < 2; turn++) await setImmediate()
    const late = writer.takeIn('late')
    // The loop stands still for longer than a store may take.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_000)
    await Promise.all([slow, late].map(answer => t.rejects(answer, UNAVAILABLE)))
    await until(() => writer.takeIn('next').then(() => true, () => false), 'it takes in again')
    t.strictSame(lines(), ['first', 'slow', 'next'])
  })
})

t.test('a segment', async t => {
  await t.test('is removed when it was read, but for what cannot be', async t => {
    const { writer, reader, files, folder } = newTrial(t)
    for (const line of ['whole', 'torn']) await writer.takeIn(line)
    await writer.close()
    truncateSync(join(folder, files()[0]!), statSync(join(folder, files()[0]!)).size - 1)
    const [segment] = reader.look()
    const frames = [...segment!.framesFrom(0)]
    t.strictSame(frames.map(({ lines }) => lines), [['whole']])
    t.equal(segment!.remove(frames[0]!.end), join(folder, files()[0]!))
    t.strictSame(suffixes(files()), ['.torn'])
    t.strictSame(reader.look(), [])
  })

  await t.test('is shut when its process has ended, or nothing was written for ten minutes', async t => {
    const { writer, reader, files, folder } = newTrial(t)
    await writer.takeIn('line')
    const [segment] = reader.look()
    segment!.sealIfLeft(0)
    t.equal(segment!.isSealed, false)
    const { now } = performance
    performance.now = () => now.call(performance) + 600_001
    t.teardown(() => { performance.now = now })
    segment!.sealIfLeft(99)
    t.equal(segment!.isSealed, false, 'the worker has read on')
    performance.now = () => now.call(performance) + 1_200_002
    segment!.sealIfLeft(99)
    t.strictSame([segment!.isSealed, ...suffixes(files())], [true, '.sealed'])
    performance.now = now

    const ofThis = files()[0]!
    const ofAnother = ofThis.replace(`-${process.pid}-`, '-999999999-').replace('.sealed', '.active')
    renameSync(join(folder, ofThis), join(folder, ofAnother))
    const [orphan] = reader.look()
    orphan!.sealIfLeft(0)
    t.equal(orphan!.isSealed, true)
  })
})
