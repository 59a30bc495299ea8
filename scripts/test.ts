import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

// Runs tap, then searches everything that was logged for every secret that the tests made.
const folder = mkdtempSync(join(tmpdir(), 'b24-test-'))
const secretsFile = join(folder, 'secrets')
const logsFile = join(folder, 'logs')
const tap = spawnSync('tap', process.argv.slice(2), {
  stdio: 'inherit',
  env: { ...process.env, B24_TEST_SECRETS: secretsFile, B24_TEST_LOGS: logsFile }
})
const secrets = [...new Set(linesOf(secretsFile))]
const logs = linesOf(logsFile)
const text = logs.join('\n')
const leaked = secrets.filter(secret => text.includes(secret))
rmSync(folder, { recursive: true })

console.log(`# searched ${logs.length} log lines for ${secrets.length} secrets: ${leaked.length} found`)
const searched = process.argv.length > 2 || (logs.length > 0 && secrets.length > 0)
process.exitCode = tap.status === 0 && leaked.length === 0 && searched ? 0 : 1

function linesOf (file: string): string[] {
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(line => line !== '') : []
}
