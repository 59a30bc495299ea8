import { randomBytes } from 'node:crypto'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { TurnMark } from '../../../src/queue/bull/turn-mark.ts'
import { startRedis } from '../../helpers/redis-server.ts'
import { until } from '../../helpers/until.ts'

async function setUp (t: Test) {
  const server = await startRedis()
  const client = new Redis(server.url)
  const key = randomBytes(8).toString('hex')
  const prioritized = `${key}:prioritized`
  const marks = [new TurnMark(client, key, prioritized), new TurnMark(client, key, prioritized)] as const
  t.teardown(async () => {
    for (const mark of marks) mark.stop()
    client.disconnect()
    await server.stop()
  })
  return { client, prioritized, marks, becomes: (value: string) => until(async () => await client.get(key) === value, value) }
}

t.test('several workers write the newest turn, which never goes back', async t => {
  const { marks: [one, two], becomes } = await setUp(t)
  for (const turn of [1, 7, 5]) one.reach(turn)
  await becomes('0.7')
  two.reach(3)
  two.empty()
  await becomes('1.7')
  one.reach(8)
  await becomes('1.8')
})

t.test('begins again from the first turn when the queue is empty and turns have come far', async t => {
  const { marks: [mark], becomes } = await setUp(t)
  mark.reach(2 ** 39 + 1)
  await becomes(`0.${2 ** 39 + 1}`)
  mark.empty()
  await becomes('1.0')
  mark.reach(2)
  await becomes('1.2')
})

t.test('a queue that was empty, and in which an event waits by now, begins nothing anew', async t => {
  const { client, prioritized, marks: [mark], becomes } = await setUp(t)
  mark.reach(2 ** 39 + 1)
  mark.empty()
  await client.zadd(prioritized, 1, 'event')
  await becomes(`0.${2 ** 39 + 1}`)
  await client.del(prioritized)
  mark.empty()
  await becomes('1.0')
})

t.test('goes on after Redis could not be reached', async t => {
  const { client, marks: [mark], becomes } = await setUp(t)
  client.disconnect()
  mark.reach(1)
  await until(() => client.status === 'end', 'it is away')
  await new Promise(resolve => setTimeout(resolve, 100))
  await client.connect()
  mark.reach(2)
  await becomes('0.2')
})
