import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bundleTests } from './bundle-tests.ts'
import { needChromium } from './need-chromium.ts'
import { searchForSecrets } from './secret-search.ts'

// Runs the named test files, or all, several at a time, with a Chromium where there are tests of a browser; then searches everything that
// was logged for every secret that the tests made.
const AT_ONCE = 3
const named = process.argv.slice(2)
const isWhole = named.length === 0
const files = isWhole ? testFiles() : named
if (files.some(file => file.includes('browser'))) {
  const missing = needChromium('test')
  if (missing !== undefined) {
    console.error(`test: ${missing}`)
    process.exit(1)
  }
}
const compiled = join('.tests', isWhole ? 'all' : String(process.pid))
const compiledFile = await bundleTests(compiled)
const folder = mkdtempSync(join(tmpdir(), 'b24-test-'))
const secretsFile = join(folder, 'secrets')
const logsFile = join(folder, 'logs')
const status = await runTests()
const { searchedLines, secrets, leaks } = searchForSecrets(logsFile, secretsFile)
rmSync(folder, { recursive: true })
// Coverage of the whole is read from the compiled files.
if (!isWhole) rmSync(compiled, { recursive: true })

console.log(`# searched ${searchedLines} log lines for ${secrets} secrets: ${leaks.length} lines hold one`)
for (const line of leaks.slice(0, 10)) console.log(`# ${line}`)
const searched = !isWhole || (searchedLines > 0 && secrets > 0)
process.exitCode = status === 0 && leaks.length === 0 && searched ? 0 : 1

async function runTests (): Promise<number> {
  const reporter = `./${compiledFile('scripts/test-reporter.ts')}`
  const args = ['--enable-source-maps', '--test', `--test-concurrency=${AT_ONCE}`, '--test-timeout=300000', `--test-reporter=${reporter}`, '--test-reporter-destination=stdout']
  const child = spawn(process.execPath, [...args, ...files.map(compiledFile)], {
    stdio: 'inherit',
    env: { ...process.env, TAP_TIMEOUT: '120', B24_TEST_COMPILED: compiled, B24_TEST_SECRETS: secretsFile, B24_TEST_LOGS: logsFile }
  })
  const [code] = await once(child, 'exit')
  return code ?? 1
}

function testFiles (): string[] {
  return readdirSync('test', { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.test.ts')).map(file => join('test', file))
}
