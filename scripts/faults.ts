import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

// Runs the fault tests at full length, one file after another, and prints what they counted and what failed.
// FAULT_SEED repeats the random moments of an earlier run.
const FOLDER = 'test/faults'
const { FAULT_ROUNDS = '100', FAULT_BACKLOG = '50000', FAULT_MISSED = '1000', FAULT_SEED = String(Date.now()) } = process.env
const env = { ...process.env, FAULT_ROUNDS, FAULT_BACKLOG, FAULT_MISSED, FAULT_SEED }
const asked = process.argv.slice(2)
const files = readdirSync(FOLDER).filter(name => name.endsWith('.test.ts') && (asked.length === 0 || asked.some(word => name.includes(word))))

console.log(`# FAULT_ROUNDS=${FAULT_ROUNDS} FAULT_BACKLOG=${FAULT_BACKLOG} FAULT_MISSED=${FAULT_MISSED} FAULT_SEED=${FAULT_SEED}`)
for (const file of files) {
  if (await run(join(FOLDER, file)) !== 0) process.exitCode = 1
}
if (files.length === 0) process.exitCode = 1

async function run (file: string): Promise<number> {
  const began = performance.now()
  const child = spawn(process.execPath, ['--import', 'tsx', file], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  let fails = false
  for await (const line of createInterface({ input: child.stdout })) {
    if (/^\s*not ok/.test(line)) fails = true
    // After a failure, all that follows is of interest.
    if (fails || /^\s*# (?!Subtest|time=)/.test(line)) console.log(line.trim())
  }
  const [status] = await ended
  console.log(`${status === 0 ? 'ok' : 'not ok'} - ${file}, ${((performance.now() - began) / 1000).toFixed(0)} s`)
  return status
}
