import { existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { temporaryFolder } from '../helpers/app.ts'
import { findOnPath } from '../helpers/find-on-path.ts'
import { runCommand } from '../helpers/program.ts'

const TESTS = 'test/browser/install.test.ts'
const [ROOT, SOMEBODY] = [0, 1000]
const debian = () => existsSync('/etc/debian_version') ? {} : { skip: 'apt-get is for Debian' }

interface Machine {
  /** What its apt-get was told, a line each. */
  asked (): string[]
  /** Runs the tests of a file, with a tap that only says so. */
  test (user: number, file?: string): { status: number | null, out: string, err: string }
}

/** A machine, as far as the tests see, that has only a few programs. `apt` is the script of its apt-get, and `$here` where programs are. */
function machine (t: Test, apt: string): Machine {
  const folder = temporaryFolder(t)
  const log = join(folder, 'apt.log')
  symlinkSync(findOnPath(['env']) as string, join(folder, 'env'))
  const add = (name: string, script: string) => writeFileSync(join(folder, name), `#!/bin/sh\nhere="${folder}"\n${script}\n`, { mode: 0o755 })
  add('tap', 'echo "tap runs $*"')
  add('apt-get', `echo "$DEBIAN_FRONTEND $*" >> "${log}"\n${apt}`)
  return {
    asked: () => existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : [],
    test: (user, file = TESTS) => {
      const preload = `data:text/javascript,process.getuid = () => ${user}`
      const args = ['--import', preload, '--import', join(process.cwd(), 'node_modules/tsx/dist/loader.mjs'), 'scripts/test.ts', '--disable-coverage', file]
      const { status, stdout, stderr } = runCommand(process.execPath, args, { env: { PATH: folder } })
      return { status, out: stdout.trim(), err: stderr.trim() }
    }
  }
}

t.test('installs Chromium where there is none, and runs the tests then', debian(), async t => {
  const { test, asked } = machine(t, 'case "$*" in *install*) /bin/cp "$here/tap" "$here/chromium";; esac')
  const { status, out, err } = test(ROOT)
  t.equal(status, 0)
  t.match(out, `tap runs --disable-coverage ${TESTS}`)
  t.equal(err, 'test: there is no chromium here; installing it with apt-get')
  t.strictSame(asked(), ['update', 'install -y --no-install-recommends chromium fonts-liberation'].map(action => `noninteractive -qq -o DPkg::Lock::Timeout=120 ${action}`))
  t.equal(test(ROOT).err, '', 'nothing is left to be done')
  t.equal(asked().length, 2)
})

t.test('where apt-get fails, it says why, one line says what to do, and no test runs', debian(), async t => {
  const { test } = machine(t, 'case "$*" in *install*) echo "E: Unable to locate package chromium" >&2;; esac; exit 100')
  const { status, out, err } = test(ROOT)
  t.equal(status, 1)
  t.equal(out, '')
  t.strictSame(err.split('\n').slice(1), ['E: Unable to locate package chromium', 'test: apt-get could not install chromium: install it by hand'])
})

t.test('who may not install packages is told what to do, in one line', async t => {
  const { test, asked } = machine(t, 'exit 100')
  const { status, out, err } = test(SOMEBODY)
  t.equal(status, 1)
  t.strictSame([out, err], ['', 'test: no Chromium here: install the package chromium of Debian (apt-get install chromium)'])
  t.strictSame(asked(), [])
})

t.test('tests that need no browser run without one', async t => {
  const { test, asked } = machine(t, 'exit 100')
  const { status, out, err } = test(SOMEBODY, 'test/wire/form.test.ts')
  t.strictSame({ status, err }, { status: 0, err: '' })
  t.match(out, 'tap runs --disable-coverage test/wire/form.test.ts')
  t.strictSame(asked(), [])
})
