import t, { type Test } from 'tap'
import { encodeForm } from '../../src/testing/index.ts'
import { temporaryFolder } from '../helpers/app.ts'
import { hasPhp, php } from '../helpers/php.ts'
import { runCommand, startProgram, untilPrinted } from '../helpers/program.ts'
import { forgetApp } from '../helpers/redis-keys.ts'
import { secret } from '../helpers/secrets.ts'

/** Starts the example as `npm start` does, in a folder of its own. */
function start (t: Test, args: string[], env: NodeJS.ProcessEnv) {
  const child = startProgram('examples/server.ts', args, {
    cwd: temporaryFolder(t),
    env: { REDIS_URL: undefined, PORT: '0', ...env }
  })
  t.teardown(() => child.kill('SIGKILL'))
  const printed = { text: '' }
  child.stdout.on('data', (chunk: Buffer) => { printed.text += chunk.toString() })
  child.stderr.on('data', (chunk: Buffer) => { printed.text += chunk.toString() })
  return { child, printed, ended: new Promise<number | null>(resolve => child.once('exit', resolve)) }
}

for (const [store, env] of [['the embedded store', {}], ['Redis', { REDIS_URL: process.env['REDIS_URL'] }]] as const) {
  t.test(`--once ends by itself when each portal was heard, with ${store}`, async t => {
    forgetApp(t, 'local.simulated')
    const { printed, ended } = start(t, ['--once'], env)
    t.equal(await ended, 0, printed.text)
    for (const domain of ['acme.bitrix24.com', 'globex.bitrix24.eu', 'initech.bitrix24.de']) {
      t.match(printed.text, `${domain}  installed the app`)
      t.match(printed.text, new RegExp(`^${domain}  onCrm\\w+ \\{ ID: \\d+`, 'm'))
    }
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
  await untilPrinted(child, /1220/)
  const lines = printed.text.split('\n').filter(line => line.includes('some-domain'))
  t.strictSame(lines, ['some-domain.bitrix24.com  onCrmDynamicItemUpdate { ID: 24, ENTITY_TYPE_ID: 1220 }'], 'once: the changed token printed nothing')
  child.kill('SIGTERM')
  t.equal(await ended, 0)
})

t.test('with keys of a real app it says which URLs to put into Bitrix24', async t => {
  const { child } = start(t, [], { B24_CLIENT_ID: 'local.example', B24_CLIENT_SECRET: secret(), PUBLIC_URL: 'https://app.example' })
  const text = await untilPrinted(child, /install\n/)
  t.match(text, 'https://app.example/bitrix24/events')
  t.match(text, 'https://app.example/bitrix24/install')
})

function encode (tree: object): string {
  if (!hasPhp) return encodeForm(tree)
  return php('echo http_build_query(json_decode(stream_get_contents(STDIN), true));', JSON.stringify(tree))
}
