import { spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

const USUAL_PLACES = ['/usr/bin', '/usr/local/bin', '/opt/homebrew/bin', '/opt/local/bin']

const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...USUAL_PLACES]
const binary = folders.map(folder => join(folder, 'php')).find(isExecutable)

/** Whether this machine has PHP. */
export const hasPhp = binary !== undefined

/** Runs a script (without the opening tag) in PHP with its built-in settings, and gives back what it prints. */
export function php (script: string, stdin: string): string {
  if (binary === undefined) throw new Error('There is no php on this machine')
  const { status, stdout, stderr, error } = spawnSync(binary, ['-n', '-r', script], { input: stdin, encoding: 'utf8', maxBuffer: 2 ** 28 })
  if (error !== undefined) throw error
  if (status !== 0) throw new Error(`php ended with ${status}: ${stderr}`)
  return stdout
}

function isExecutable (path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
