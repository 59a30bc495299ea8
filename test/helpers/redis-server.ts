import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { findOnPath } from './find-on-path.ts'

const BINARIES = ['redis-server', 'valkey-server']
const START_DEADLINE_MS = 10_000

/** A Redis of one's own on loopback, without any persistence. */
export interface RedisServer {
  url: string
  port: number
  readonly pid: number
  /** Ends it as a crash would; `restart` brings it back, empty, on the same port. */
  kill (): Promise<void>
  restart (): Promise<void>
  /** Ends it and removes what it left. */
  stop (): Promise<void>
}

/** Path of the first Redis or Valkey server on the machine, or `undefined`. */
export function findRedisBinary (): string | undefined {
  return findOnPath(BINARIES)
}

/**
 * Starts `redis-server` or `valkey-server` and waits until it answers. It does not outlive this process, however that ends.
 * What it keeps is in a folder of its own in `parent`; there is `config`, too, the text of a file that it may change.
 */
export async function startRedis ({ port, config, args = [], parent = tmpdir() }: { port?: number, config?: string, args?: string[], parent?: string } = {}): Promise<RedisServer> {
  const binary = findRedisBinary()
  if (binary === undefined) throw new Error(`None of ${BINARIES.join(', ')} is on the PATH`)
  const folder = mkdtempSync(join(parent, 'b24-redis-'))
  const at = port ?? await freePort()
  const configFile = join(folder, 'server.conf')
  if (config !== undefined) writeFileSync(configFile, config)
  const command = [...(config === undefined ? [] : [configFile]), '--port', String(at), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--repl-diskless-sync-delay', '0', '--dir', folder, ...args]
  let child: ChildProcess
  let watch: ChildProcess
  const start = async (): Promise<void> => {
    child = spawn(binary, command, { stdio: 'ignore' })
    watch = watchOver(child, folder)
    await answers(child, at)
  }
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit')
      child.kill(signal)
      await ended
    }
    watch.kill('SIGKILL')
  }
  await start()
  return {
    url: `redis://127.0.0.1:${at}`,
    port: at,
    get pid () { return child.pid as number },
    kill: () => end('SIGKILL'),
    restart: async () => {
      await end('SIGKILL')
      await start()
    },
    stop: async () => {
      await end('SIGTERM')
      rmSync(folder, { recursive: true, force: true })
    }
  }
}

/** Starts a shell that reads from this process: when there is nobody left to read from, it ends the server. */
function watchOver (server: ChildProcess, folder: string): ChildProcess {
  const script = 'read -r _; kill -9 "$1"; rm -rf "$2"'
  const watch = spawn('/bin/sh', ['-c', script, 'sh', String(server.pid), folder], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
  watch.unref()
  ;(watch.stdin as Socket).unref()
  return watch
}

/** A port of loopback that nobody listens on. */
export async function freePort (): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}

/** Tells whether nobody listens on a port of loopback. */
export function isFree (port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

async function answers (child: ChildProcess, port: number): Promise<void> {
  const end = Date.now() + START_DEADLINE_MS
  while (Date.now() < end) {
    if (child.exitCode !== null) throw new Error(`The Redis server ended with status ${child.exitCode} at its start`)
    if (await pong(port)) return
    await sleep(10)
  }
  child.kill('SIGKILL')
  throw new Error(`The Redis server did not answer within ${START_DEADLINE_MS} ms`)
}

function pong (port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'))
    socket.setTimeout(500, () => socket.destroy())
    socket.once('data', (data) => {
      resolve(/^(\+PONG|-NOAUTH)/.test(data.toString()))
      socket.destroy()
    })
    socket.once('error', () => {})
    socket.once('close', () => resolve(false))
  })
}
