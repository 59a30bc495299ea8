import t from 'tap'
import { UNAVAILABLE, openFolder } from './embedded-trial.ts'

t.test('keeps nothing of a group of which one change throws, and tells everybody', async t => {
  const { commits, tables } = await openFolder(t, t.testdir())
  const put = (key: string) => () => { tables.meta.put(key, `${commits.nextSeq()}`) }
  const asked = [
    commits.write(put('before')),
    commits.writeInTime(put('urgent')),
    commits.write(() => { throw new Error('a bad change') }),
    commits.write(put('after'))
  ]
  for (const answer of asked) await t.rejects(answer, { ...UNAVAILABLE, cause: { message: 'a bad change' } })
  t.strictSame(tables.read(() => [...tables.meta.getKeys()]), [])
})

t.test('goes on after a group that was not kept, with the numbers that it did not use', async t => {
  const { commits, tables } = await openFolder(t, t.testdir())
  const numbers: number[] = []
  const next = () => { numbers.push(commits.nextSeq()) }
  await commits.write(next)
  await t.rejects(commits.write(() => {
    next()
    throw new Error('a bad change')
  }), UNAVAILABLE)
  await commits.write(next)
  t.strictSame(numbers, [1, 2, 2])
  t.equal(tables.read(() => tables.meta.get('seq')), '2')
})
