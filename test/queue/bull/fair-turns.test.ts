import t from 'tap'
import { FairTurns } from '../../../src/queue/bull/fair-turns.ts'

t.test('each portal has one event in each round, however many wait', async t => {
  const turns = new FairTurns()
  t.same(['a', 'a', 'a', 'b', 'a', 'b'].map(portal => turns.take(portal)), [1, 2, 3, 1, 4, 2])
})

t.test('what comes new goes right behind what is handled now', async t => {
  const turns = new FairTurns()
  for (let i = 0; i < 100; i++) turns.take('a')
  turns.learn('0.40')
  t.equal(turns.take('b'), 41)
  t.equal(turns.take('a'), 101)
})

t.test('portals that nothing waits of are forgotten', async t => {
  const turns = new FairTurns()
  for (let i = 0; i < 1000; i++) turns.take(`portal ${i % 500}`)
  t.equal(turns.size, 500)
  turns.learn('0.1')
  t.equal(turns.size, 500)
  turns.learn('0.2')
  t.equal(turns.size, 0)
})

t.test('a turn that was not needed is given to the next event of the portal, unless one is behind it', async t => {
  const turns = new FairTurns()
  turns.giveBack('a', turns.take('a'))
  t.equal(turns.take('a'), 1)
  turns.take('a')
  turns.giveBack('a', 1)
  t.equal(turns.take('a'), 3)
})

t.test('nobody owes a turn after the queue was empty', async t => {
  const turns = new FairTurns()
  for (let i = 0; i < 100; i++) turns.take('a')
  turns.learn('1.5')
  t.equal(turns.take('a'), 6)
})

t.test('turns end where those of BullMQ do', async t => {
  const turns = new FairTurns()
  turns.learn(`0.${2 ** 41}`)
  t.equal(turns.take('a'), 2 ** 40 - 1)
})
