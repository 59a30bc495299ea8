import { build } from 'esbuild'

/** Compiles programs of the project into `<name>.mjs` in a folder, which needs the project's packages in reach. */
export async function bundle (entryPoints: string[], outdir: string): Promise<void> {
  await build({
    entryPoints, outdir, outExtension: { '.js': '.mjs' }, bundle: true, splitting: true, packages: 'external', format: 'esm', platform: 'node', target: 'node20'
  })
}
