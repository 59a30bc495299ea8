import { once } from 'node:events'
import { symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { temporaryFolder } from '../helpers/app.ts'
import { findOnPath } from '../helpers/find-on-path.ts'
import { startProgram } from '../helpers/program.ts'

/** Runs `scripts/test.ts` with this shell script for tap. */
async function run (t: Test, tap: string): Promise<{ status: number, out: string }> {
  const folder = temporaryFolder(t)
  symlinkSync(findOnPath(['env']) as string, join(folder, 'env'))
  for (const [name, script] of [['tap', tap], ['chromium', '']]) writeFileSync(join(folder, name!), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  const child = startProgram('scripts/test.ts', [], { env: { PATH: folder } })
  t.teardown(() => child.kill('SIGKILL'))
  const [out, [status]] = await Promise.all([text(child.stdout), once(child, 'exit')])
  return { status, out }
}

t.test('the tests fail when a secret was logged, when nothing was searched, and when tap fails', async t => {
  const found = 'echo made-up > "$B24_TEST_SECRETS"; echo "a=made-up&b" > "$B24_TEST_LOGS"'
  const none = 'echo made-up > "$B24_TEST_SECRETS"; echo made > "$B24_TEST_LOGS"'
  const cases: Array<[what: string, tap: string, status: number]> = [
    ['a secret', found, 1],
    ['nothing searched', '', 1],
    ['tap fails', `${none}; exit 3`, 1],
    ['no secret', none, 0]
  ]
  for (const [what, tap, status] of cases) {
    const result = await run(t, tap)
    t.equal(result.status, status, what)
    t.equal(result.out.includes('# a=[secret]&b'), tap === found, 'it shows where')
    t.notMatch(result.out, 'made-up')
  }
})
