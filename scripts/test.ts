import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, watch, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { bundleTests, testSources } from './bundle-tests.ts'
import { needChromium } from './need-chromium.ts'
import { searchForSecrets } from './secret-search.ts'

// Runs the named test files, or all, several at a time, with a Chromium where there are tests of a browser; then searches everything that
// was logged for every secret that the tests made. With --watch it does so again whenever a file of the project changes. TEST_COVERAGE names a
// folder for what V8 counts meanwhile.
const AT_ONCE = 3
const REPORTER = 'scripts/test-reporter.ts'
const SOURCES = ['src', 'test', 'examples', 'scripts']

const named = process.argv.slice(2).filter(word => word !== '--watch')
const isWhole = named.length === 0
const tests = isWhole ? testSources().filter(file => file.endsWith('.test.ts')) : named
// Coverage is read from the compiled files of the whole; runs of single files may go on beside it.
const compiled = join('.tests', isWhole ? 'all' : String(process.pid))
if (tests.some(file => file.includes('browser'))) {
  const missing = needChromium('test')
  if (missing !== undefined) {
    console.error(`test: ${missing}`)
    process.exit(1)
  }
}
if (process.argv.includes('--watch')) await watchAndRun()
else process.exitCode = await run() ? 0 : 1

async function run (): Promise<boolean> {
  await bundleTests(isWhole ? testSources() : [...named, REPORTER], compiled)
  const folder = mkdtempSync(join(tmpdir(), 'b24-test-'))
  const [secretsFile, logsFile] = [join(folder, 'secrets'), join(folder, 'logs')]
  // One test is another user for a while.
  chmodSync(folder, 0o711)
  for (const file of [secretsFile, logsFile]) {
    writeFileSync(file, '')
    chmodSync(file, 0o666)
  }
  const passed = await runTests({ B24_TEST_COMPILED: compiled, B24_TEST_SECRETS: secretsFile, B24_TEST_LOGS: logsFile })
  const { searchedLines, secrets, leaks } = searchForSecrets(logsFile, secretsFile)
  for (const path of isWhole ? [folder] : [folder, compiled]) rmSync(path, { recursive: true })
  console.log(`# searched ${searchedLines} log lines for ${secrets} secrets: ${leaks.length} lines hold one`)
  for (const line of leaks.slice(0, 10)) console.log(`# ${line}`)
  return passed && leaks.length === 0 && (!isWhole || (searchedLines > 0 && secrets > 0))
}

async function runTests (env: NodeJS.ProcessEnv): Promise<boolean> {
  const options = [`--test-concurrency=${AT_ONCE}`, '--test-timeout=300000', `--test-reporter=./${compiledFile(REPORTER)}`, '--test-reporter-destination=stdout']
  const coverage = process.env['TEST_COVERAGE']
  const child = spawn(process.execPath, ['--enable-source-maps', '--test', ...options, ...tests.map(compiledFile)], {
    stdio: 'inherit', env: { ...process.env, TAP_TIMEOUT: '120', ...(coverage !== undefined && { NODE_V8_COVERAGE: coverage }), ...env }
  })
  const [code] = await once(child, 'exit')
  return code === 0
}

function compiledFile (file: string): string {
  return join(compiled, file.replace(/\.ts$/, '.mjs'))
}

async function watchAndRun (): Promise<never> {
  const seen = { changes: 0 }
  for (const folder of SOURCES) watch(folder, { recursive: true }, () => seen.changes++)
  for (;;) {
    const { changes } = seen
    await run().catch((error: Error) => console.error(error.message))
    while (seen.changes === changes) await sleep(100)
    // An editor writes a file in several steps.
    await sleep(100)
  }
}
