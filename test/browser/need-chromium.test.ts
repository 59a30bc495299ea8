import { existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import { temporaryFolder } from '../helpers/app.ts'
import { bundle } from '../helpers/bundle.ts'
import { findOnPath } from '../helpers/find-on-path.ts'
import { runCommand } from '../helpers/program.ts'

const [ROOT, SOMEBODY] = [0, 1000]
const debian = () => existsSync('/etc/debian_version') ? {} : { skip: 'apt-get is for Debian' }
const script = temporaryFolder(t)
await bundle(['scripts/need-chromium.ts'], script)

interface Machine {
  /** What its apt-get was told, a line each. */
  asked (): string[]
  /** Asks for a Chromium as this user. */
  need (user: number): { out: string, err: string }
}

/** A machine, as far as the tests see, that has only a few programs. `apt` is the script of its apt-get, and `$here` where programs are. */
function machine (t: Test, apt: string): Machine {
  const folder = temporaryFolder(t)
  const log = join(folder, 'apt.log')
  symlinkSync(findOnPath(['env']) as string, join(folder, 'env'))
  const add = (name: string, text: string) => writeFileSync(join(folder, name), `#!/bin/sh\nhere="${folder}"\n${text}\n`, { mode: 0o755 })
  add('apt-get', `echo "$DEBIAN_FRONTEND $*" >> "${log}"\n${apt}`)
  return {
    asked: () => existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : [],
    need: (user) => {
      const code = `process.getuid = () => ${user}
        const { needChromium } = await import('${pathToFileURL(join(script, 'need-chromium.mjs')).href}')
        console.log(needChromium('test') ?? 'is there')`
      const { stdout, stderr } = runCommand(process.execPath, ['--input-type=module', '-e', code], { env: { PATH: folder } })
      return { out: stdout.trim(), err: stderr.trim() }
    }
  }
}

t.test('installs Chromium where there is none', debian(), async t => {
  const { need, asked } = machine(t, 'case "$*" in *install*) /bin/cp "$here/apt-get" "$here/chromium";; esac')
  t.strictSame(need(ROOT), { out: 'is there', err: 'test: there is no chromium here; installing it with apt-get' })
  t.strictSame(asked(), ['update', 'install -y --no-install-recommends chromium fonts-liberation'].map(action => `noninteractive -qq -o DPkg::Lock::Timeout=120 ${action}`))
  t.strictSame(need(ROOT), { out: 'is there', err: '' }, 'nothing is left to be done')
  t.equal(asked().length, 2)
})

t.test('where apt-get fails, it says why, and one line says what to do', debian(), async t => {
  const { need } = machine(t, 'case "$*" in *install*) echo "E: Unable to locate package chromium" >&2;; esac; exit 100')
  const { out, err } = need(ROOT)
  t.equal(out, 'apt-get could not install chromium: install it by hand')
  t.match(err, 'E: Unable to locate package chromium')
})

t.test('a user who may not install packages is told what to do, in one line', async t => {
  const { need, asked } = machine(t, 'exit 100')
  t.strictSame(need(SOMEBODY), { out: 'no Chromium here: install the package chromium of Debian (apt-get install chromium)', err: '' })
  t.strictSame(asked(), [])
})
