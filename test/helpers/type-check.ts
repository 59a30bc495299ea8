import { rmSync, writeFileSync } from 'node:fs'
import { runCommand } from './program.ts'

/** What TypeScript finds wrong with some files under the settings of the project; not with what they import. */
export function mistakesIn (files: string[], compilerOptions: Record<string, unknown>): string[] {
  const settings = `tsconfig.${process.pid}.json`
  writeFileSync(settings, JSON.stringify({ extends: './tsconfig.json', files, include: [], compilerOptions }))
  try {
    const { stdout } = runCommand(process.execPath, ['node_modules/typescript-native/bin/tsc', '--noEmit', '--pretty', 'false', '-p', settings])
    return stdout.split('\n').filter(line => line.startsWith('error ') || files.some(file => line.startsWith(`${file}(`)))
  } finally {
    rmSync(settings)
  }
}
