import { once } from 'node:events'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { startProgram } from '../helpers/program.ts'
import { freePort, startRedis } from '../helpers/redis-server.ts'
import { secret } from '../helpers/secrets.ts'

const TELL = 'console.log(process.env.REDIS_URL)'

interface Run {
  kill (signal: NodeJS.Signals): void
  /** The first thing that the command says. */
  said: Promise<string>
  ended: Promise<{ status: number | null, out: string, err: string }>
}

function run (t: Test, redisUrl: string, ...command: string[]): Run {
  const child = startProgram('scripts/with-redis.ts', command, { env: { REDIS_URL: redisUrl } })
  t.teardown(() => child.kill('SIGKILL'))
  const said = once(child.stdout, 'data').then(([data]) => String(data).trim())
  said.catch(() => {})
  const ended = Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
    .then(([out, err, [status]]) => ({ status, out: out.trim(), err: err.trim() }))
  return { kill: signal => child.kill(signal), said, ended }
}

async function answers (url: string): Promise<boolean> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  return await once(socket, 'connect').then(() => true, () => false).finally(() => socket.destroy())
}

t.test('runs a command with a Redis of its own, ends with its status and leaves nothing', async t => {
  const table: Array<[name: string, code: string, status: number]> = [
    ['status', `${TELL}; process.exitCode = 7`, 7],
    ['signal', `${TELL}; process.kill(process.pid, 'SIGKILL')`, 137]
  ]
  await Promise.all(table.map(async ([name, code, status]) => {
    const result = await run(t, '', process.execPath, '-e', code).ended
    t.equal(result.status, status, name)
    t.match(result.out, /^redis:\/\/127\.0\.0\.1:\d+$/)
    t.notOk(await answers(result.out), 'the server is gone')
  }))
})

t.test('passes a signal on, and ends the server after the command', async t => {
  const wait = `process.on('SIGTERM', () => setTimeout(() => process.exit(5), 50)); setInterval(() => {}, 1000); ${TELL}`
  const { kill, said, ended } = run(t, '', process.execPath, '-e', wait)
  const url = await said
  t.ok(await answers(url))
  kill('SIGTERM')
  t.equal((await ended).status, 5)
  t.notOk(await answers(url))
})

t.test('uses the Redis at REDIS_URL and leaves it', async t => {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const { status, out } = await run(t, redis.url, process.execPath, '-e', TELL).ended
  t.strictSame({ status, out }, { status: 0, out: redis.url })
  t.ok(await answers(redis.url))
})

t.test('says in one line what is wrong', async t => {
  const password = secret()
  const table: Array<[name: string, redisUrl: string, command: string[], status: number, line: RegExp]> = [
    ['no Redis at REDIS_URL', `redis://:${password}@127.0.0.1:${await freePort()}`, ['true'], 1, /^with-redis: REDIS_URL is set but does not answer: connect ECONNREFUSED/],
    ['no URL', `:${password}@127.0.0.1`, ['true'], 1, /^with-redis: REDIS_URL is set but does not answer: .*must be a URL/],
    ['no such command', '', ['no-such-command'], 127, /^with-redis: spawn no-such-command ENOENT$/],
    ['no command', '', [], 1, /^with-redis: usage: /]
  ]
  await Promise.all(table.map(async ([name, redisUrl, command, status, line]) => {
    const result = await run(t, redisUrl, ...command).ended
    t.equal(result.status, status, name)
    t.match(result.err, line)
    t.notMatch(result.err, /\n/, 'one line')
    t.notMatch(result.err, password)
  }))
})
