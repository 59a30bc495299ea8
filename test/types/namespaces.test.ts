import t from 'tap'
import { mistakesIn } from '../helpers/type-check.ts'

t.setTimeout(120_000)

t.test('with namespaces, `app.bitrix24` has the apps that are named, and is none itself', async t => {
  t.strictSame(mistakesIn(['test/types/namespaces.ts'], {}), [])
})
