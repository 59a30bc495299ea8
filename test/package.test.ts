import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { temporaryFolder } from './helpers/app.ts'
import { runCommand } from './helpers/program.ts'

t.setTimeout(400_000)

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
      t.strictSame(typeCheck(folder, { module: 'NodeNext', skipLibCheck: true, noEmit: false, outDir: 'out', rootDir: '.' }).mistakes, [])
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
  const { files, mistakes } = typeCheck(folder, { module: 'ESNext', moduleResolution: 'Bundler' })
  t.ok(files.some(file => file.endsWith('fastify-bitrix24/dist/errors.d.ts')))
  t.strictSame(mistakes, [])
})

for (const has of [true, false]) {
  t.test(`types of a client are ${has ? 'those of the SDK where it is installed' : 'there without the SDK too'}`, async t => {
    const folder = consumer(`client-${has}`, { type: 'module' }, has ? [] : ['@bitrix24'])
    writeFileSync(join(folder, 'app.ts'), `
      import type { OfficialClient, Portal } from 'fastify-bitrix24'
      ${has ? "import type { B24OAuth } from '@bitrix24/b24jssdk'\n      export const client: (portal: Portal) => Promise<B24OAuth> = async portal => await portal.client()" : "export const says = (client: OfficialClient): '@bitrix24/b24jssdk is not installed' => client.isMissing"}
      // @ts-expect-error it is not of any type
      export const none = (client: OfficialClient) => client.nothingOfTheKind
      export async function read (portal: Portal) {
        const answer = await portal.batch<{ deal: { item: { title: string } }, me: { ID: string } }>({ deal: ['crm.item.get', { id: 1 }], me: { method: 'profile' } })
        if (answer.outcomes.deal.status === 'succeeded') console.log(answer.outcomes.deal.result.item.title.length, answer.getData().me?.ID)
        const listed = await portal.batch<{ ID: string }>([['profile'], ['profile', {}]])
        for (const outcome of listed.outcomes) if (outcome.status === 'failed') console.log(outcome.error.code)
        const { result, total } = await portal.callFull<{ ID: string }>('profile')
        // @ts-expect-error keys are those of the calls
        console.log(result.ID, total?.toFixed(), (await portal.batch({ a: ['profile'] })).outcomes.b)
        // @ts-expect-error no such option
        await portal.call('profile', {}, { timeout: 5 })
      }`)
    t.strictSame(typeCheck(folder, { module: 'NodeNext' }).mistakes, [])
  })
}

t.test('without the SDK everything works but the official client, which says what to install', async t => {
  const folder = consumer('no-sdk', { type: 'module' }, ['@bitrix24'])
  writeFileSync(join(folder, 'app.js'), `
    import Fastify from 'fastify'
    import fastifyBitrix24 from 'fastify-bitrix24'
    import { createSimulator, waitForIdle } from 'fastify-bitrix24/testing'
    const keys = { clientId: 'local.consumer', clientSecret: 'made up for this test' }
    const b24 = await createSimulator(keys)
    const app = Fastify()
    await app.register(fastifyBitrix24, { ...keys, oauthServers: [b24.oauthServer], allowPrivateNetworks: true, dataDir: process.env.DATA_DIR })
    const origin = await app.listen({ port: 0, host: '127.0.0.1' })
    const simulated = b24.portal('acme.bitrix24.com')
    await simulated.install(origin + '/bitrix24/events')
    await waitForIdle(app.bitrix24)
    const portal = await app.bitrix24.portal(simulated.memberId)
    const { ID } = await portal.call('profile')
    console.log('called', ID)
    await portal.client().catch(error => console.log(error.code, error.message))
    await app.close()
    await b24.close()`)
  const { stdout, stderr } = runCommand(process.execPath, [join(folder, 'app.js')], { env: { DATA_DIR: temporaryFolder(t) } })
  t.match(stdout, /called 1\nFST_B24_SDK_MISSING portal\.client\(\) needs the package @bitrix24\/b24jssdk: npm install @bitrix24\/b24jssdk@~2\.2\.0/, stderr)
})

/** A project that has the packed package, and the project's own packages beside it as if they were installed. */
function consumer (name: string, manifest: object, without: readonly string[] = []): string {
  const folder = temporaryFolder(t)
  const modules = join(folder, 'node_modules')
  mkdirSync(join(modules, 'fastify-bitrix24'), { recursive: true })
  run('tar', ['-xzf', tarball, '--strip-components=1', '-C', join(modules, 'fastify-bitrix24')])
  for (const each of readdirSync('node_modules')) {
    if (!each.startsWith('.') && each !== 'fastify-bitrix24' && !without.includes(each)) symlinkSync(resolve('node_modules', each), join(modules, each))
  }
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: name.replaceAll(' ', '-').toLowerCase(), private: true, ...manifest }))
  return folder
}

/** What TypeScript reads for the program of a consumer, and what it finds wrong with that and with the package; not with what both are built on. */
function typeCheck (folder: string, compilerOptions: object): { files: string[], mistakes: string[] } {
  const options = { strict: true, target: 'ES2022', types: ['node'], noEmit: true, ...compilerOptions }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, files: ['app.ts'] }))
  const { stdout } = runCommand(process.execPath, [resolve('node_modules/typescript-native/bin/tsc'), '--listFiles', '--pretty', 'false'], { cwd: folder })
  const lines = stdout.split('\n')
  const isMistake = (line: string) => /^(error|app\.ts\(|node_modules\/fastify-bitrix24\/.*\): error)/.test(line)
  return { files: lines.filter(line => !isMistake(line)), mistakes: lines.filter(isMistake) }
}

function run (command: string, args: string[]): string {
  const { status, stdout, stderr } = runCommand(command, args, { timeoutMs: 240_000 })
  if (status !== 0) throw new Error(`${command} ended with ${status}: ${stderr}`)
  return stdout
}
