import t from 'tap'
import { ParseCache } from '../../src/storage/install-record.ts'

interface Named { name: string, pair: { encrypted: string } }

function counted (): { records: ParseCache<Named>, reads: string[] } {
  const reads: string[] = []
  const records = new ParseCache<Named>((memberId, text) => {
    reads.push(memberId)
    return JSON.parse(text) as Named
  })
  return { records, reads }
}
const text = (name: string): string => JSON.stringify({ name, pair: { encrypted: 'x' } })

t.test('a text is parsed once, and again when it changes', async t => {
  const { records, reads } = counted()
  t.equal(records.of('a', text('one')), records.of('a', text('one')))
  t.equal(records.of('a', text('two')).name, 'two')
  t.equal(records.of('a', text('one')).name, 'one')
  t.equal(reads.length, 3)
})

t.test('the same text of two portals is read for each', async t => {
  const { records, reads } = counted()
  records.of('a', text('one'))
  records.of('b', text('one'))
  t.strictSame(reads, ['a', 'b'])
})

t.test('the shared record is frozen', async t => {
  const record = counted().records.of('a', text('one'))
  t.throws(() => { record.name = 'another' }, TypeError)
  t.throws(() => { record.pair.encrypted = 'another' }, TypeError)
})

t.test('an unreadable text throws each time, and is not cached', async t => {
  const { records, reads } = counted()
  for (let time = 0; time < 2; time++) t.throws(() => records.of('a', '{'), SyntaxError)
  t.equal(reads.length, 2)
})

t.test('a thousand are kept, the oldest go first', async t => {
  const { records, reads } = counted()
  for (let number = 0; number <= 1_000; number++) records.of(`portal ${number}`, text('one'))
  reads.length = 0
  records.of('portal 1000', text('one'))
  t.strictSame(reads, [])
  records.of('portal 0', text('one'))
  t.strictSame(reads, ['portal 0'])
})
