import { spawn, type ChildProcess } from 'node:child_process'
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

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
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  return BINARIES.flatMap(name => folders.map(folder => join(folder, name))).find(isExecutable)
}

/**
 * Starts `redis-server` or `valkey-server` and waits until it answers. Whatever happens, it does not outlive this process'
 * regular end.
 */
export async function startRedis ({ port, args = [] }: { port?: number, args?: string[] } = {}): Promise<RedisServer> {
  const binary = findRedisBinary()
  if (binary === undefined) throw new Error(`None of ${BINARIES.join(', ')} is on the PATH`)
  const folder = mkdtempSync(join(tmpdir(), 'b24-redis-'))
  const at = port ?? await freePort()
  let child: ChildProcess
  const atExit = (): void => {
    child.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
  const start = async (): Promise<void> => {
    child = spawn(binary, ['--port', String(at), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder, ...args],
      { stdio: 'ignore' })
    await answers(child, at)
  }
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise(resolve => child.once('exit', resolve))
    child.kill(signal)
    await ended
  }
  process.once('exit', atExit)
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
      process.off('exit', atExit)
      rmSync(folder, { recursive: true, force: true })
    }
  }
}

/** A port of loopback that nobody listens on. */
export async function freePort (): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
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

function isExecutable (path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
