import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import pLimit from 'p-limit'
import t, { type Test } from 'tap'
import { completeDelivery } from '../src/delivery/delivery-options.ts'
import * as errors from '../src/errors.ts'
import { temporaryFolder } from './helpers/app.ts'
import { bundle } from './helpers/bundle.ts'
import { runProgram, startProgram, untilPrinted } from './helpers/program.ts'
import { forgetApp } from './helpers/redis-keys.ts'
import { freePort } from './helpers/redis-server.ts'
import { mistakesIn } from './helpers/type-check.ts'

const readme = readFileSync('README.md', 'utf8')
const snippets = [...readme.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code!)
const folder = 'test/.readme'

/** What the prose around a snippet takes for granted. */
const GIVEN = `
import Fastify from 'fastify'
import fastifyBitrix24 from 'fastify-bitrix24'
import { openStorage } from '../../src/storage/open-storage.ts'
import { storageSettings } from '../helpers/test-storage.ts'

declare const deleteEverythingOf: (memberId: string) => Promise<void>
const openMyStore = async () => {
  const storage = await openStorage({ dataDir: process.env.DATA_DIR! }, storageSettings('own-store'))
  return { store: storage.installs, close: () => storage.close() }
}
const [salesId, salesSecret, supportId, supportSecret] = ['local.1', 'made up', 'local.2', 'made up']
const app = Fastify()
process.chdir(process.env.DATA_DIR!)
`
const REGISTERED = "await app.register(fastifyBitrix24, { clientId: 'local.readme', clientSecret: 'made up', publicUrl: 'https://app.example' })\n"
const CLOSED = '\nawait app.close()\nexport { openMyStore, salesId, salesSecret, supportId, supportSecret }\n'

const isWorker = (code: string) => code.startsWith('// worker.ts')
const isServer = (code: string) => code.includes('logger: true') && !isWorker(code)
const needsRedis = (code: string) => code.includes('Set REDIS_URL')
const isProgram = (code: string) => code.includes('const app =')
const isNamespaced = (code: string) => code.includes('interface Bitrix24Namespaces')
const registers = (code: string) => code.includes('app.register(')
const programs = snippets.map((code, i) => ({
  file: join(folder, `snippet-${i}.ts`),
  runs: join(folder, `snippet-${i}.mjs`),
  title: code.split('\n').find(line => !line.startsWith('import') && line !== '') ?? '',
  code,
  text: isProgram(code) ? code : `${GIVEN}${registers(code) ? '' : REGISTERED}${code.includes('app.close()') ? code : code + CLOSED}`
}))

rmSync(folder, { recursive: true, force: true })
mkdirSync(folder, { recursive: true })
for (const { file, text } of programs) writeFileSync(file, text)
const commonJs = /^```js\n(.*?)^```$/ms.exec(readme)?.[1] ?? ''
writeFileSync(join(folder, 'common.cjs'), commonJs.replace("require('fastify-bitrix24')", "require('./index.mjs')"))
writeFileSync(join(folder, 'index.ts'), "export * from 'fastify-bitrix24'\n")
const compiled = bundle([...programs.map(({ file }) => file), join(folder, 'index.ts')], folder)
const twoAtATime = pLimit(2)
t.setTimeout(120_000)
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

t.test('every snippet compiles', async t => {
  t.ok(snippets.length > 8)
  // Names of namespaces change what `app.bitrix24` is, for the whole project.
  for (const namespaced of [true, false]) {
    const files = programs.filter(({ code }) => isNamespaced(code) === namespaced).map(({ file }) => file)
    t.ok(files.length > 0)
    t.strictSame(mistakesIn(files, { noUnusedLocals: false, declaration: false }), [])
  }
})

t.test('every snippet runs', async t => {
  await compiled
  const ending = programs.filter(({ code }) => !isServer(code) && !isWorker(code))
  await Promise.all(ending.map(({ runs, code, title }) => twoAtATime(async () => {
    const { status, stderr, stdout } = await runProgram(runs, { env: { DATA_DIR: temporaryFolder(t), TMPDIR: temporaryFolder(t), TEST_PORT: String(await freePort()) } })
    t.equal(status, 0, `${title}\n${stderr}\n${stdout.match(/^not ok.*$/gm) ?? ''}`)
    if (code.includes('delivery.statusCode')) t.match(stdout, /^200$/m)
  })))
})

for (const { runs, title } of programs.filter(({ code }) => isServer(code))) {
  t.test(`the server starts, answers GET, refuses a forged event, and closes: ${title}`, async t => await serves(t, runs))
}

t.test('the CommonJS app starts, answers GET, refuses a forged event, and closes', async t => {
  t.match(commonJs, /require\('fastify-bitrix24'\)/)
  await compiled
  await serves(t, join(folder, 'common.cjs'))
})

t.test('the CommonJS app shows what is wrong with its options', async t => {
  await compiled
  const { status, stderr } = await runProgram(join(folder, 'common.cjs'), { cwd: temporaryFolder(t), env: { B24_CLIENT_ID: undefined, B24_CLIENT_SECRET: 'made up' } })
  t.equal(status, 1)
  t.match(stderr, /Invalid options: clientId must be a non-empty string/)
  t.notMatch(stderr, 'Cannot read properties')
})

t.test('receiver and worker say that they need Redis', async t => {
  await compiled
  const needing = programs.filter(({ code }) => needsRedis(code))
  t.equal(needing.length, 2)
  for (const { runs } of needing) {
    const { status, stderr } = await runProgram(runs, { cwd: temporaryFolder(t), env: { REDIS_URL: undefined, B24_CLIENT_ID: 'local.readme', B24_CLIENT_SECRET: 'made up' } })
    t.equal(status, 1)
    t.match(stderr, 'Error: Set REDIS_URL')
  }
})

t.test('the worker starts, and ends when it is told to', async t => {
  const [program] = programs.filter(({ code }) => isWorker(code))
  forgetApp(t, 'local.readme')
  const child = startProgram(program!.runs, [], { cwd: temporaryFolder(t), env: { B24_CLIENT_ID: 'local.readme', B24_CLIENT_SECRET: 'made up' } })
  t.teardown(() => child.kill('SIGKILL'))
  await untilPrinted(child, /waits for events/)
  child.kill('SIGTERM')
  t.equal(await new Promise(resolve => child.once('exit', resolve)), 0)
})

async function serves (t: Test, file: string): Promise<void> {
  forgetApp(t, 'local.readme')
  const port = await freePort()
  const child = startProgram(file, [], {
    cwd: temporaryFolder(t),
    env: { PORT: String(port), B24_CLIENT_ID: 'local.readme', B24_CLIENT_SECRET: 'made up' }
  })
  t.teardown(() => child.kill('SIGKILL'))
  await untilPrinted(child, /Server listening/)
  const url = `http://127.0.0.1:${port}/bitrix24/events`
  t.equal((await fetch(url)).status, 200)
  const forged = new URLSearchParams({ event: 'ONCRMDEALADD', 'auth[member_id]': 'a', 'auth[application_token]': 'b' })
  t.equal((await fetch(url, { method: 'POST', body: forged })).status, 403)
  child.kill('SIGTERM')
  t.equal(await new Promise(resolve => child.once('exit', resolve)), 0, 'and closes when it is told to')
}

t.test('every error has its row, with its status, and every row its error', async t => {
  const rows = [...readme.matchAll(/^\| `(FST_B24_\w+)` \| (\d+) \|/gm)].map(([, code, status]) => [code, Number(status)])
  const made = Object.values(errors).map(make => make()).map(error => [error.code, error.statusCode])
  t.strictSame(rows.sort(), made.sort())
})

t.test('the table of reasons has each reason why a post is refused', async t => {
  const types = ['src/oauth/verify-pair.ts', 'src/delivery/receive-outcome.ts'].map(file => /export type (?:Pair)?RejectReason =(.*?)(\n\n|$)/s.exec(readFileSync(file, 'utf8'))?.[1] ?? '')
  const reasons = types.flatMap(type => [...type.matchAll(/'(\w+)'/g)].map(([, reason]) => reason))
  const table = readme.slice(readme.indexOf('#### Reasons'), readme.indexOf('## Lifecycle hooks'))
  const told = [...table.matchAll(/^\| (`.*?`) \|/gm)].flatMap(([, cell]) => [...cell!.matchAll(/`(\w+)`/g)].map(([, reason]) => reason))
  t.strictSame(told.filter(reason => reason !== 'reason').sort(), reasons.sort())
})

t.test('the options table names every option', async t => {
  const options = readFileSync('src/options.ts', 'utf8').match(/interface FastifyBitrix24Options \{(.*?)\n\}/s)?.[1] ?? ''
  const table = readme.slice(readme.indexOf('## All options'), readme.indexOf('## Errors'))
  for (const [, name] of options.matchAll(/^ {2}(\w+)\??:/gm)) t.match(table, new RegExp(`^\\| .*\`${name}(\\.\\w+)?\``, 'm'), name!)
})

t.test('the options table tells what delivery has, and its defaults', async t => {
  const rows = [...readme.matchAll(/^\| `delivery\.(\w+)` \| (.+?) \| (.+) \|$/gm)].map(([, name, standard, meaning]) => ({ name, standard, meaning }))
  const { deadLetters, ...plain } = completeDelivery({})
  const told = rows.map(({ name, standard }) => [name, standard?.match(/^`([^`]+)`/)?.[1] ?? standard])
  const days = deadLetters.maxAgeMs / (24 * 60 * 60 * 1000)
  t.strictSame(told.sort(), [
    ...Object.entries(plain).map(([name, value]) => [name, inspect(value)]),
    ['deadLetters', `${days} days, ${deadLetters.maxCount.toLocaleString('en')}`]
  ].sort())
  t.match(rows.find(({ name }) => name === 'deadLetters')?.meaning, `\`{ ${Object.keys(deadLetters).join(', ')} }\``)
})
