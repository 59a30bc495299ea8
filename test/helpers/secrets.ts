import { appendFileSync } from 'node:fs'
import { randomBytes } from 'node:crypto'

const register = process.env['B24_TEST_SECRETS']

/**
 * Makes a value that must never stand in a log line, and remembers it: after the suite, everything that was logged is
 * searched for every value made here.
 */
export function secret (label = 's'): string {
  return remember(`${label}${randomBytes(16).toString('hex')}`)
}

/** Remembers a secret that was made elsewhere (the simulator's tokens, for one). */
export function remember (value: string): string {
  if (register !== undefined) appendFileSync(register, `${value}\n`)
  return value
}
