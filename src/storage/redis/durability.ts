import { withinDeadline } from '../unavailable.ts'

/** The methods that `checkDurability` needs; `Redis` and `Cluster` of ioredis have them. */
export interface AskableServer {
  config (verb: 'GET', name: string): Promise<unknown>
  info (section: string): Promise<string>
}

interface Durability {
  appends: boolean
  /** `undefined` if CONFIG is not permitted. */
  snapshots: boolean | undefined
  /** How keys are dropped when memory is full; `undefined` when they are not. */
  evicts: string | undefined
}

/**
 * Returns why a server may lose data; `undefined` if it is durable, or its configuration is not readable.
 * Never rejects.
 */
export async function checkDurability (server: AskableServer): Promise<string | undefined> {
  const found = await fromConfig(server).catch(() => fromInfo(server)).catch(() => undefined)
  if (found === undefined) return undefined
  const problems = [problemOfDisk(found), problemOfMemory(found)].filter(problem => problem !== undefined)
  return problems.length === 0 ? undefined : problems.join('. ')
}

function problemOfDisk ({ appends, snapshots }: Durability): string | undefined {
  if (appends) return undefined
  if (snapshots === false) return 'Redis keeps nothing on disk: what waits is lost when it restarts; set appendonly to yes'
  return `Redis takes snapshots${snapshots === undefined ? ' at most' : ''}: what came since the last snapshot is lost when it restarts; set appendonly to yes`
}

function problemOfMemory ({ evicts }: Durability): string | undefined {
  return evicts && `Redis drops keys when its memory is full (${evicts}), and events with them; set maxmemory-policy to noeviction`
}

async function fromConfig (server: AskableServer): Promise<Durability> {
  const [appendonly, save, policy] = await Promise.all(['appendonly', 'save', 'maxmemory-policy'].map(name => settingOf(server, name)))
  return { appends: appendonly !== 'no', snapshots: save !== '', evicts: policy === 'noeviction' ? undefined : policy }
}

async function settingOf (server: AskableServer, name: string): Promise<string> {
  const [, value] = await withinDeadline(server.config('GET', name)) as string[]
  return value as string
}

/** Many hosts forbid CONFIG. */
async function fromInfo (server: AskableServer): Promise<Durability> {
  const info = (await withinDeadline(Promise.all([server.info('persistence'), server.info('memory')]))).join('\r\n')
  return { appends: !info.includes('aof_enabled:0'), snapshots: undefined, evicts: /^maxmemory_policy:(?!noeviction)(\S+)/m.exec(info)?.[1] }
}
