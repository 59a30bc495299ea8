import { openSync, closeSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { countLines, framesOf, isTornAt, readFrames } from '../../../src/queue/journal/frames.ts'

const ZEROS = Buffer.alloc(64)
const HEADER = 12

function fileOf (t: Test, ...parts: Buffer[]): number {
  const path = join(t.testdir(), 'file')
  writeFileSync(path, Buffer.concat(parts))
  const file = openSync(path, 'r')
  t.teardown(() => closeSync(file))
  return file
}

t.test('frames', async t => {
  await t.test('are read as they were written, from any of them on', async t => {
    const groups = [['one', 'two'], [''], ['ш '.repeat(5_000), '{"a":1}\t{}']]
    const frames = groups.map(framesOf)
    const file = fileOf(t, ...frames, ZEROS)
    const read = [...readFrames(file, 0)]
    t.strictSame(read.map(({ lines }) => lines), groups)
    t.strictSame(read.map(({ end }) => end), frames.map((_, i) => Buffer.concat(frames.slice(0, i + 1)).length))
    t.strictSame([...readFrames(file, read[0]!.end)].map(({ lines }) => lines), groups.slice(1))
    t.strictSame([countLines(file, 0), countLines(file, read[0]!.end), countLines(file, read[2]!.end)], [5, 3, 0])
  })

  await t.test('have a hundred lines at most', async t => {
    const lines = Array.from({ length: 250 }, (_, i) => `line ${i}`)
    const read = [...readFrames(fileOf(t, framesOf(lines)), 0)]
    t.strictSame(read.map(({ lines }) => lines.length), [100, 100, 50])
    t.strictSame(read.flatMap(({ lines }) => lines), lines)
  })

  await t.test('end where a file has none', async t => {
    for (const parts of [[], [ZEROS], [Buffer.alloc(HEADER - 1, 1)]]) {
      const file = fileOf(t, ...parts)
      t.strictSame([[...readFrames(file, 0)], countLines(file, 0), isTornAt(file, 0)], [[], 0, false])
    }
  })
})

t.test('a frame of which not all is there', async t => {
  const [whole, torn] = [framesOf(['whole']), framesOf(['torn', 'too'])]

  await t.test('is none, wherever it is cut, and is told from zeros', async t => {
    for (let cut = 1; cut < torn.length; cut++) {
      const file = fileOf(t, whole, torn.subarray(0, cut), ZEROS)
      t.strictSame([...readFrames(file, 0)].map(({ lines }) => lines), [['whole']], `cut at ${cut}`)
      t.equal(isTornAt(file, whole.length), true)
    }
  })

  await t.test('is none, whichever byte of it is another', async t => {
    for (let at = 0; at < torn.length; at++) {
      const other = Buffer.from(torn)
      other.writeUInt8(other.readUInt8(at) ^ 0xff, at)
      t.strictSame([...readFrames(fileOf(t, whole, other, ZEROS), 0)].map(({ lines }) => lines), [['whole']], `byte ${at}`)
    }
  })
})
