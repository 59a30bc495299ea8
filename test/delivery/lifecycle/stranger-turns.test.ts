import t from 'tap'
import { StrangerTurns } from '../../../src/delivery/lifecycle/stranger-turns.ts'

/** Asks until nothing more is let in. */
function fill (turns: StrangerTurns, source: string): number {
  let count = 0
  while (turns.enter(source)) count++
  return count
}

t.test('one source leaves a place for another', async t => {
  const turns = new StrangerTurns(4)
  t.equal(fill(turns, 'flood'), 3)
  t.equal(turns.enter('late'), true)
  t.equal(turns.enter('later'), false)
  turns.leave('flood')
  t.equal(turns.enter('flood'), false, 'the next place is not its own')
  t.equal(turns.enter('later'), true)
})

t.test('a single place goes to who has waited for the longest', async t => {
  const turns = new StrangerTurns(1)
  t.equal(fill(turns, 'flood'), 1)
  t.equal(turns.enter('late'), false)
  turns.leave('flood')
  t.equal(turns.enter('flood'), true, 'it asked again before the other came')
  turns.leave('flood')
  for (let count = 0; count < 64; count++) t.equal(turns.enter('flood'), false)
  t.equal(turns.enter('late'), true)
  turns.leave('late')
  t.equal(turns.enter('late'), false, 'and then to the other one')
  t.equal(turns.enter('flood'), true)
})

t.test('sources that wait take turns, however much each asks', async t => {
  const turns = new StrangerTurns(1)
  const sources = Array.from({ length: 10 }, (_, i) => `source-${i}`)
  const served: string[] = []
  t.equal(turns.enter('first'), true)
  for (const source of sources) turns.enter(source)
  let last = 'first'
  for (let round = 0; round < 20; round++) {
    turns.leave(last)
    for (const source of [...sources].reverse()) {
      for (let count = 0; count <= Number(source.at(-1)); count++) {
        if (!turns.enter(source)) continue
        served.push(source)
        last = source
      }
    }
  }
  t.strictSame(served.slice(0, 10), sources)
  t.strictSame(new Set(served.slice(10)), new Set(sources))
})

t.test('a source that does not come back keeps nobody waiting', async t => {
  let now = 0
  const turns = new StrangerTurns(1, () => now)
  turns.enter('a')
  t.equal(turns.enter('gone'), false)
  turns.leave('a')
  now += 2_000
  t.equal(turns.enter('b'), false)
  now += 1_500
  t.equal(turns.enter('b'), true)
})
