import t from 'tap'
import { LineHeads } from '../../../src/queue/embedded/line-heads.ts'
import { openFolder } from './embedded-trial.ts'

t.test('the head of a line', async t => {
  const { tables, commits } = await openFolder(t, t.testdir())
  const heads = new LineHeads(tables)
  const put = (seq: number, portal = 'a', lane = 1): void => {
    tables.waiting.put([lane, portal, seq], '')
    heads.add(lane, portal, seq)
  }
  const leave = (seq: number, portal = 'a', lane = 1): void => {
    tables.waiting.remove([lane, portal, seq])
    heads.remove(lane, portal, seq)
  }
  const rest = (): number[] => {
    const seqs = []
    for (let seq = heads.first(1, 'a'); seq !== undefined; seq = heads.first(1, 'a')) {
      seqs.push(seq)
      leave(seq)
    }
    return seqs
  }
  const numbers = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i)

  await t.test('is the oldest, of a line that is longer than what is read at once', async t => {
    await commits.write(() => {
      for (const seq of numbers(1, 50)) put(seq)
      for (const seq of [1, 2]) put(seq, 'b')
      put(1, 'a', 0)
      t.strictSame(rest(), numbers(1, 50))
      t.strictSame([heads.first(1, 'b'), heads.first(0, 'a'), heads.first(1, 'c')], [1, 1, undefined])
    })
  })

  await t.test('is what goes back before it, and what comes meanwhile is last', async t => {
    await commits.write(() => {
      for (const seq of numbers(10, 20)) put(seq)
      t.equal(heads.first(1, 'a'), 10)
      put(5)
      t.equal(heads.first(1, 'a'), 5)
      put(100)
      t.strictSame(rest(), [5, ...numbers(10, 20), 100])
    })
  })

  await t.test('knows that another one has left', async t => {
    await commits.write(() => {
      for (const seq of numbers(1, 3)) put(seq)
      t.equal(heads.first(1, 'a'), 1)
      leave(2)
      t.strictSame(rest(), [1, 3])
    })
  })

  await t.test('is read anew when it may be otherwise on disk', async t => {
    await commits.write(() => {
      put(2)
      t.equal(heads.first(1, 'a'), 2)
      tables.waiting.put([1, 'a', 1], '')
      t.equal(heads.first(1, 'a'), 2)
      heads.clear()
      t.strictSame(rest(), [1, 2])
    })
  })
})
