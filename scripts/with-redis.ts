import { spawn } from 'node:child_process'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { connectRedis } from '../test/helpers/connect-redis.ts'
import { findRedisBinary, startRedis } from '../test/helpers/redis-server.ts'
import { canInstall, installPackages } from './apt.ts'

// Runs a command with a Redis at REDIS_URL: the given one, or an own one for as long as the command runs.
const POLICY = '/usr/sbin/policy-rc.d'
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

const [command, ...args] = process.argv.slice(2)
if (command === undefined) fail('usage: tsx scripts/with-redis.ts <command…>')
const given = process.env['REDIS_URL']
process.exitCode = given ? await withGiven(given) : await withOwn()

async function withGiven (url: string): Promise<number> {
  try {
    const connection = await connectRedis(url)
    await connection.close()
  } catch (error) {
    const { message, cause } = error as Error
    fail(`REDIS_URL is set but does not answer: ${(cause as Error | undefined)?.message ?? message}`)
  }
  return await run(url)
}

async function withOwn (): Promise<number> {
  // A signal during the start ends it like any other; the server goes with this process.
  const early = SIGNALS.map(signal => [signal, () => process.exit(statusOf(signal))] as const)
  for (const [signal, end] of early) process.on(signal, end)
  if (findRedisBinary() === undefined) install()
  const server = await startRedis()
  const running = run(server.url)
  for (const [signal, end] of early) process.off(signal, end)
  const status = await running
  await server.stop()
  return status
}

function run (url: string): Promise<number> {
  const child = spawn(command as string, args, { stdio: 'inherit', env: { ...process.env, REDIS_URL: url } })
  for (const signal of SIGNALS) process.on(signal, () => child.kill(signal))
  return new Promise((resolve) => {
    child.once('error', (error) => {
      console.error(`with-redis: ${error.message}`)
      resolve(127)
    })
    child.once('exit', (code, signal) => resolve(code ?? statusOf(signal as NodeJS.Signals)))
  })
}

function statusOf (signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal]
}

function install (): void {
  if (!canInstall()) fail('no Redis here: install redis-server or valkey-server, or set REDIS_URL to one that runs')
  // The package would start a service of its own; this file forbids it while we install.
  const forbid = !existsSync(POLICY)
  if (forbid) writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    installPackages('with-redis', 'redis-server')
  } finally {
    if (forbid) rmSync(POLICY, { force: true })
  }
  if (findRedisBinary() === undefined) fail('apt-get could not install redis-server: install it by hand, or set REDIS_URL')
}

function fail (reason: string): never {
  console.error(`with-redis: ${reason}`)
  process.exit(1)
}
