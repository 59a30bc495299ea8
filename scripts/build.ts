import { execFileSync } from 'node:child_process'
import { cpSync, rmSync } from 'node:fs'
import { build } from 'esbuild'

// typebox is compiled in: it is 700 files, and reading them one by one costs an app 130 ms at every start.
const { dependencies, peerDependencies } = (await import('../package.json', { with: { type: 'json' } })).default
const external = Object.keys({ ...dependencies, ...peerDependencies }).filter(name => name !== 'typebox')

rmSync('dist', { recursive: true, force: true })
execFileSync(process.execPath, ['node_modules/typescript-native/bin/tsc', '-p', 'tsconfig.build.json', '--emitDeclarationOnly'], { stdio: 'inherit' })
cpSync('node_modules/typebox/license', 'dist/typebox.LICENSE')
await build({
  entryPoints: ['src/index.ts', 'src/testing/index.ts'],
  outdir: 'dist',
  external,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  sourcemap: true,
  sourcesContent: false,
  legalComments: 'none'
})
