import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { searchForSecrets } from '../../scripts/secret-search.ts'
import { temporaryFolder } from '../helpers/app.ts'

function filesOf (t: Test, logs: string, secrets: string): [logs: string, secrets: string] {
  const folder = temporaryFolder(t)
  const [logsFile, secretsFile] = [join(folder, 'logs'), join(folder, 'secrets')]
  writeFileSync(logsFile, logs)
  writeFileSync(secretsFile, secrets)
  return [logsFile, secretsFile]
}

t.test('a line that holds a secret is found, and shown without it', async t => {
  const [logs, secrets] = filesOf(t, 'a=made-up-1&b\nnothing here\n', 'made-up-2\nmade-up-1\nshort\n')
  t.strictSame(searchForSecrets(logs, secrets), { searchedLines: 2, secrets: 3, leaks: ['a=[secret]&b'] })
})

t.test('a run that logged nothing tells that nothing was searched', async t => {
  const folder = temporaryFolder(t)
  t.strictSame(searchForSecrets(join(folder, 'logs'), join(folder, 'secrets')), { searchedLines: 0, secrets: 0, leaks: [] })
})
