import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import ts from 'typescript'
import { temporaryFolder } from './helpers/app.ts'
import { runCommand } from './helpers/program.ts'

t.setTimeout(120_000)

const REGISTER = `
  const app = Fastify()
  await app.register(fastifyBitrix24, { clientId: 'local.consumer', clientSecret: 'made up', dataDir: process.env.DATA_DIR })
  app.bitrix24.on('onCrmDynamicItemUpdate', async event => { console.log(event.data.FIELDS.ID.toFixed()) })
  const answer = await app.inject('/bitrix24/events')
  await app.close()
  console.log(answer.statusCode)`

const packed = temporaryFolder(t)
run('npm', ['run', '--silent', 'build'])
run('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', packed])
const tarball = join(packed, readdirSync(packed)[0]!)

t.test('publint and attw accept the package', async t => {
  for (const [command, args] of [['publint', ['run', tarball, '--strict']], ['attw', [tarball, '--profile', 'esm-only']]] as const) {
    const { status, stdout, stderr } = runCommand(join('node_modules/.bin', command), args)
    t.equal(status, 0, `${command}\n${stdout}${stderr}`)
  }
})

t.test('the package holds what it needs and no more', async t => {
  const files = run('tar', ['-tzf', tarball]).split('\n').filter(file => file !== '').map(file => file.replace('package/', ''))
  t.strictSame(files.filter(file => !/^(src|dist)\//.test(file)).sort(), ['LICENSE', 'README.md', 'package.json'])
  t.ok(files.includes('dist/typebox.LICENSE'), 'with the licence of what is compiled in')
})

const consumers: Array<[what: string, file: string, text: string, manifest: object]> = [
  ['an ESM TypeScript project', 'app.ts', `import Fastify from 'fastify'\nimport fastifyBitrix24 from 'fastify-bitrix24'\nimport { createSimulator } from 'fastify-bitrix24/testing'\n${REGISTER}\nconsole.log(typeof createSimulator)`, { type: 'module' }],
  ['a CommonJS project', 'app.cjs', `const Fastify = require('fastify')\nconst fastifyBitrix24 = require('fastify-bitrix24').default\nmain()\nasync function main () {${REGISTER}\n}`, { type: 'commonjs' }]
]
for (const [what, file, text, manifest] of consumers) {
  t.test(`${what} can register it`, async t => {
    const folder = consumer(t.name, manifest)
    writeFileSync(join(folder, file), text)
    let entry = file
    if (file.endsWith('.ts')) {
      const options = { strict: true, module: 'NodeNext', target: 'ES2022', skipLibCheck: true, types: ['node'], outDir: 'out', rootDir: '.' }
      writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, files: [file] }))
      const { status, stdout } = runCommand(process.execPath, [resolve('node_modules/typescript/bin/tsc'), '-p', folder])
      t.equal(status, 0, stdout)
      entry = 'out/app.js'
    }
    const { stdout, stderr } = runCommand(process.execPath, [join(folder, entry)], { env: { DATA_DIR: temporaryFolder(t) } })
    t.match(stdout, /^200$/m, stderr)
  })
}

t.test('a project that a bundler resolves gets types too, and errors that narrow', async t => {
  const folder = consumer('bundled', { type: 'module' })
  writeFileSync(join(folder, 'app.ts'), `
    import fastifyBitrix24, { errors, type FastifyBitrix24Options } from 'fastify-bitrix24'
    import { createSimulator } from 'fastify-bitrix24/testing'

    export const options: FastifyBitrix24Options = { clientId: 'local.consumer', clientSecret: 'made up' }
    export const made = [fastifyBitrix24, createSimulator]
    export function tell (error: unknown): [string, number | undefined, string] | number | undefined {
      if (error instanceof errors.FST_B24_PORTAL_CALL) return [error.portalCode, error.portalStatus, error.description]
      if (error instanceof errors.FST_B24_PORTAL_LIMIT) return error.retryAfterMs
      // @ts-expect-error others have none
      if (error instanceof errors.FST_B24_CLOSING) return error.retryAfterMs
      return undefined
    }
    // @ts-expect-error what is not there is not of any type
    errors.FST_B24_TEAPOT`)
  const { ESNext } = ts.ModuleKind
  const program = ts.createProgram([join(folder, 'app.ts')], { strict: true, module: ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler, target: ts.ScriptTarget.ES2022, skipLibCheck: false, noEmit: true })
  // All of ours, and of the packages that it is built on none: they would take half a minute.
  const own = program.getSourceFiles().filter(({ fileName }) => fileName.startsWith(folder))
  t.ok(own.some(({ fileName }) => fileName.endsWith('dist/errors.d.ts')))
  const mistakes = own.flatMap(file => [...ts.getPreEmitDiagnostics(program, file)])
  t.strictSame(mistakes.map(({ file, messageText }) => `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`), [])
})

/** A project that has the packed package, and the project's own packages beside it as if they were installed. */
function consumer (name: string, manifest: object): string {
  const folder = temporaryFolder(t)
  const modules = join(folder, 'node_modules')
  mkdirSync(join(modules, 'fastify-bitrix24'), { recursive: true })
  run('tar', ['-xzf', tarball, '--strip-components=1', '-C', join(modules, 'fastify-bitrix24')])
  for (const each of readdirSync('node_modules')) {
    if (!each.startsWith('.') && each !== 'fastify-bitrix24') symlinkSync(resolve('node_modules', each), join(modules, each))
  }
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: name.replaceAll(' ', '-').toLowerCase(), private: true, ...manifest }))
  return folder
}

function run (command: string, args: string[]): string {
  const { status, stdout, stderr } = runCommand(command, args)
  if (status !== 0) throw new Error(`${command} ended with ${status}: ${stderr}`)
  return stdout
}
