import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { encodeForm } from '../../src/testing/index.ts'
import { temporaryFolder } from '../helpers/app.ts'
import { hasPhp, php } from '../helpers/php.ts'
import { runCommand, startProgram, untilPrinted } from '../helpers/program.ts'
import { forgetApp } from '../helpers/redis-keys.ts'
import { freePort } from '../helpers/redis-server.ts'
import { secret } from '../helpers/secrets.ts'

/** Starts the demo as `npm start` does, or another example, in a folder of its own. */
function start (t: Test, args: string[], env: NodeJS.ProcessEnv, file = 'examples/demo.ts') {
  const child = startProgram(file, args, {
    cwd: temporaryFolder(t),
    env: { REDIS_URL: undefined, PORT: '0', ...env }
  })
  t.teardown(() => child.kill('SIGKILL'))
  const printed = { text: '' }
  child.stdout.on('data', (chunk: Buffer) => { printed.text += chunk.toString() })
  child.stderr.on('data', (chunk: Buffer) => { printed.text += chunk.toString() })
  return { child, printed, ended: new Promise<number | null>(resolve => child.once('exit', resolve)) }
}

for (const [store, env] of [['SQLite', {}], ['Redis', { REDIS_URL: process.env['REDIS_URL'] }]] as const) {
  t.test(`--once ends by itself when each portal was heard, with ${store}`, async t => {
    forgetApp(t, 'local.simulated')
    // The portals have to know where it will listen.
    const { printed, ended } = start(t, ['--once'], { ...env, PORT: String(await freePort()) })
    t.equal(await ended, 0, printed.text)
    for (const domain of ['acme.bitrix24.com', 'globex.bitrix24.eu', 'initech.bitrix24.de']) {
      t.match(printed.text, `${domain}  installed the app`)
      t.match(printed.text, `${domain}  onCrmDynamicItemAdd { ID: 1, ENTITY_TYPE_ID: 1220 } "Order 1", stage "NEW"`)
      t.match(printed.text, `${domain}  onCrmDynamicItemUpdate { ID: 1, ENTITY_TYPE_ID: 1220 } stageId: "NEW" → "PAID", opportunity: 100 → 120`)
    }
    t.equal(printed.text.match(/^\d+ events were answered 200$/gm)?.length, 1, 'it stops once')
  })
}

t.test('prints the documented example as numbers, and nothing with a changed token', async t => {
  const memberId = 'da45a03b265edd8787f8a258d793cc5d'
  const token = secret()
  const { child, printed, ended } = start(t, [], { B24_MEMBER_ID: memberId, B24_APPLICATION_TOKEN: token })
  const [, url] = /listens at (\S+)/.exec(await untilPrinted(child, /listens at (\S+)\n/)) ?? []
  const event = (applicationToken: string) => ({
    event: 'ONCRMDYNAMICITEMUPDATE',
    event_handler_id: '48',
    data: { FIELDS: { ID: '24', ENTITY_TYPE_ID: '1220' } },
    ts: '1743152062',
    auth: { member_id: memberId, domain: 'some-domain.bitrix24.com', application_token: applicationToken }
  })
  const curl = (tree: object) => runCommand('curl', ['-s', '-o', '/dev/null', '-w', '%{http_code}', '--data-binary', encode(tree), `${url}/bitrix24/events`])
  t.comment(hasPhp ? 'encoded by PHP' : 'no PHP here: encoded by our encoder, which is held against its vectors')
  const changed = token.slice(0, -1) + (token.endsWith('0') ? '1' : '0')
  t.equal(curl(event(changed)).stdout, '403')
  t.equal(curl(event(token)).stdout, '200')
  await untilPrinted(child, /some-domain.*1220/)
  const lines = printed.text.split('\n').filter(line => line.includes('some-domain'))
  const line = 'some-domain.bitrix24.com  onCrmDynamicItemUpdate { ID: 24, ENTITY_TYPE_ID: 1220 } a webhook has no token to ask with'
  t.strictSame(lines, [line], 'once: the changed token printed nothing')
  child.kill('SIGTERM')
  t.equal(await ended, 0)
})

t.test('the live page shows each portal, and what happens there', async t => {
  forgetApp(t, 'local.simulated')
  const { child } = start(t, [], { PORT: String(await freePort()), SIMULATOR_PORT: String(await freePort()) })
  const [, url] = /listens at (\S+)/.exec(await untilPrinted(child, /listens at (\S+)\n/)) ?? []
  const page = await fetch(`${url}/`)
  t.match(page.headers.get('content-type'), /^text\/html/)
  t.match(await page.text(), "new EventSource('live')")
  const lines: object[] = []
  let state: LiveState | undefined
  for await (const [type, data] of eventsOf(await fetch(`${url}/live`, { signal: AbortSignal.timeout(30_000) }))) {
    if (type === 'line') lines.push(data)
    if (type === 'state') state = data as LiveState
    if (state !== undefined && state.events.handled > 3 && state.portals.length === 3) break
  }
  t.strictSame(state?.portals.map(({ domain, state }) => [domain, state]).sort(), ['acme.bitrix24.com', 'globex.bitrix24.eu', 'initech.bitrix24.de'].map(domain => [domain, 'active']))
  t.match(lines.find(line => 'domain' in line && line.domain === 'acme.bitrix24.com'), { what: 'installed' })
  t.match(lines.filter(line => 'what' in line && line.what === 'onCrmDynamicItemAdd')[0], { at: Number, details: 'item 1 of type 1220' })
})

t.test('with keys of a real app it says which URLs to put into Bitrix24', async t => {
  const { child } = start(t, [], { B24_CLIENT_ID: 'local.example', B24_CLIENT_SECRET: secret(), PUBLIC_URL: 'https://app.example' })
  const text = await untilPrinted(child, /install\n/)
  t.match(text, 'https://app.example/bitrix24/events')
  t.match(text, 'https://app.example/bitrix24/install')
})

t.test('a port that is taken, or is none, is said in one line', async t => {
  const taken = createServer().listen(0, '127.0.0.1')
  t.teardown(() => taken.close())
  await once(taken, 'listening')
  const { port } = taken.address() as AddressInfo
  const free = String(await freePort())
  const cases: Array<[env: NodeJS.ProcessEnv, line: string]> = [
    [{ PORT: String(port), SIMULATOR_PORT: free }, `Port ${port} is taken: set PORT to another one`],
    [{ SIMULATOR_PORT: String(port) }, `Port ${port} is taken: set SIMULATOR_PORT to another one`],
    [{ PORT: 'abc' }, 'PORT must be a port from 0 to 65535']
  ]
  for (const [env, line] of cases) {
    const { printed, ended } = start(t, ['--once'], env)
    t.equal(await ended, 1)
    t.equal(printed.text.trim(), line)
  }
})

t.test('the app to start from listens, and closes when it is told to', async t => {
  forgetApp(t, 'local.example')
  const env = { PORT: String(await freePort()), B24_CLIENT_ID: 'local.example', B24_CLIENT_SECRET: secret() }
  const { child, ended } = start(t, [], env, 'examples/server.ts')
  const [url] = /http:\/\/127\.0\.0\.1:\d+/.exec(await untilPrinted(child, /Server listening at http:\/\/127\.0\.0\.1/)) ?? []
  t.equal((await fetch(`${url}/bitrix24/events`)).status, 200)
  child.kill('SIGTERM')
  t.equal(await ended, 0)
})

interface LiveState {
  portals: Array<{ domain: string, state: string }>
  events: { handled: number }
}

/** The server-sent events of an answer, as they come. */
async function * eventsOf (response: Response): AsyncGenerator<[type: string, data: object]> {
  let text = ''
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk
    const messages = text.split('\n\n')
    text = messages.pop() as string
    for (const message of messages) {
      const [, type, data] = /^event: (\w+)\ndata: (.*)$/.exec(message) as string[]
      yield [type as string, JSON.parse(data as string)]
    }
  }
}

function encode (tree: object): string {
  if (!hasPhp) return encodeForm(tree)
  return php('echo http_build_query(json_decode(stream_get_contents(STDIN), true));', JSON.stringify(tree))
}
