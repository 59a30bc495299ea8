import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { needChromium } from './need-chromium.ts'

// Runs tap, with a Chromium where there are tests of a browser, then searches everything that was logged for every secret that the tests made.
const args = process.argv.slice(2)
const isWhole = args.every(word => word.startsWith('--'))
const missing = isWhole || args.some(word => word.includes('browser')) ? needChromium('test') : undefined
if (missing !== undefined) {
  console.error(`test: ${missing}`)
  process.exit(1)
}
const folder = mkdtempSync(join(tmpdir(), 'b24-test-'))
const secretsFile = join(folder, 'secrets')
const logsFile = join(folder, 'logs')
const tap = spawnSync('tap', args, {
  stdio: 'inherit',
  env: { ...process.env, B24_TEST_SECRETS: secretsFile, B24_TEST_LOGS: logsFile }
})
const secrets = [...new Set(linesOf(secretsFile))]
const logs = linesOf(logsFile)
const leaks = leaksIn([...new Set(logs)], secrets)
rmSync(folder, { recursive: true })

console.log(`# searched ${logs.length} log lines for ${secrets.length} secrets: ${leaks.length} lines hold one`)
for (const line of leaks.slice(0, 10)) console.log(`# ${line}`)
const searched = !isWhole || (logs.length > 0 && secrets.length > 0)
process.exitCode = tap.status === 0 && leaks.length === 0 && searched ? 0 : 1

/** Lines that hold a secret, without it. In one pass: there are thousands of both. */
function leaksIn (lines: string[], secrets: string[]): string[] {
  const headLength = Math.min(8, ...secrets.map(({ length }) => length))
  const byHead = new Map<string, string[]>()
  for (const secret of secrets) {
    const head = secret.slice(0, headLength)
    byHead.set(head, [...byHead.get(head) ?? [], secret])
  }
  const secretIn = (line: string): string | undefined => {
    for (let at = 0; at + headLength <= line.length; at++) {
      const found = byHead.get(line.slice(at, at + headLength))?.find(secret => line.startsWith(secret, at))
      if (found !== undefined) return found
    }
  }
  return lines.flatMap(line => {
    const found = secretIn(line)
    return found === undefined ? [] : [line.replaceAll(found, '[secret]')]
  })
}

function linesOf (file: string): string[] {
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(line => line !== '') : []
}
