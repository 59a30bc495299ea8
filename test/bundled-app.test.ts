import { symlinkSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { build } from 'esbuild'
import t from 'tap'
import { temporaryFolder } from './helpers/app.ts'
import { runCommand } from './helpers/program.ts'

t.setTimeout(120_000)

const APP = `
import Fastify from 'fastify'
import fastifyBitrix24 from './src/index.ts'

const app = Fastify()
app.register(fastifyBitrix24, { clientId: 'local.bundled', clientSecret: 'made up', dataDir: process.env.DATA_DIR })
app.inject('/bitrix24/events/').then(async answer => {
  console.log('status', answer.statusCode)
  await app.close()
}, error => console.log(error.code, error.message))
`

t.test('an app that esbuild bundles to CommonJS runs, or names the package that is missing', async t => {
  const folder = temporaryFolder(t)
  const outfile = join(folder, 'app.cjs')
  await build({
    stdin: { contents: APP, resolveDir: process.cwd(), loader: 'ts' },
    outfile,
    bundle: true,
    format: 'cjs',
    platform: 'node',
    target: 'node20',
    external: ['@bitrix24/b24jssdk'],
    logLevel: 'silent'
  })
  const env = { DATA_DIR: join(folder, 'data'), NODE_PATH: '' }
  t.match(runCommand(process.execPath, [outfile], { env }).stdout, /^FST_B24_PACKAGE_MISSING .*'libsql'/)
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'))
  const { stdout, stderr } = runCommand(process.execPath, [outfile], { env })
  t.match(stdout, /^status 200$/m, stderr)
})
