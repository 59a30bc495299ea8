import { mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import type { Test } from 'tap'

/** Compiles programs of the project into `<name>.mjs` in a folder, which needs the project's packages in reach. */
export async function bundle (entryPoints: string[], outdir: string): Promise<void> {
  await build({
    entryPoints, outdir, outExtension: { '.js': '.mjs' }, bundle: true, splitting: true, packages: 'external', format: 'esm', platform: 'node', target: 'node20'
  })
}

/** Compiles programs into a folder of the test, so that each start costs a fraction of what tsx takes. */
export async function compilePrograms (t: Test, entryPoints: string[]): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'b24-programs-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  symlinkSync(join(process.cwd(), 'node_modules'), join(folder, 'node_modules'))
  await bundle(entryPoints, folder)
  return folder
}
