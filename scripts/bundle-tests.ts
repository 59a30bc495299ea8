import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build, type Plugin } from 'esbuild'

/** Folders whose programs the tests import or start. */
const FOLDERS = ['test', 'examples', 'scripts', 'bench']

/** Files that are not compiled: these are checked as types, or are written by a test. */
const LEFT_OUT = /^test\/(types\/(?!.*\.test\.ts$)|\.readme\/|artifacts\/)/

/** What stands beside a source file is found from its compiled form too. */
const sourcePlaces: Plugin = {
  name: 'source places',
  setup: ({ onLoad }) => onLoad({ filter: /\.ts$/ }, ({ path }) => {
    const text = readFileSync(path, 'utf8')
    return text.includes('import.meta.url') ? { loader: 'ts', contents: text.replaceAll('import.meta.url', JSON.stringify(pathToFileURL(path).href)) } : undefined
  })
}

/**
 * Compiles the tests and all programs that they start, once: each then starts in a fraction of the time that a loader of TypeScript takes.
 *
 * @returns where a file such as `test/wire/form.test.ts` went
 */
export async function bundleTests (outdir: string): Promise<(file: string) => string> {
  const { dependencies, devDependencies, peerDependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as Record<string, object>
  rmSync(outdir, { recursive: true, force: true })
  await build({
    entryPoints: FOLDERS.flatMap(typeScriptIn),
    // typebox is compiled in, as it is in what is published: it is 700 files.
    external: Object.keys({ ...dependencies, ...devDependencies, ...peerDependencies }).filter(name => name !== 'typebox'),
    plugins: [sourcePlaces],
    outdir,
    outbase: '.',
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    sourcemap: 'linked',
    logLevel: 'warning'
  })
  return file => join(outdir, file.replace(/\.ts$/, '.mjs'))
}

function typeScriptIn (folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map(file => join(folder, file))
    .filter(file => file.endsWith('.ts') && !LEFT_OUT.test(file))
}
