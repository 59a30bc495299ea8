import { Redis } from 'ioredis'
import t from 'tap'
import { checkDurability } from '../../../src/storage/redis/durability.ts'
import { startRedis } from '../../helpers/redis-server.ts'

const NO_CONFIG = ['--rename-command', 'CONFIG', '']

const SERVERS: Array<[name: string, args: string[], expected: RegExp | undefined]> = [
  ['a server without any persistence', [], /keeps nothing on disk/],
  ['one that appends', ['--appendonly', 'yes'], undefined],
  ['one that takes snapshots', ['--save', '60 1'], /^Redis takes snapshots: what came since the last snapshot is lost .*appendonly to yes$/],
  ['one that evicts', ['--appendonly', 'yes', '--maxmemory-policy', 'allkeys-lru'], /drops keys .*allkeys-lru/],
  ['one that appends, where CONFIG is forbidden', ['--appendonly', 'yes', ...NO_CONFIG], undefined],
  ['one that evicts, where CONFIG is forbidden', ['--maxmemory-policy', 'volatile-ttl', ...NO_CONFIG], /drops keys .*volatile-ttl/],
  ['one that takes snapshots and evicts', ['--save', '60 1', '--maxmemory-policy', 'allkeys-random'], /since the last snapshot.*\. Redis drops keys .*allkeys-random/],
  ['one that does not append, where CONFIG is forbidden', NO_CONFIG, /^Redis takes snapshots at most: what came since the last snapshot is lost/],
  ['one that reports nothing at all', [...NO_CONFIG, '--rename-command', 'INFO', ''], undefined]
]

for (const [name, args, expected] of SERVERS) {
  t.test(`what ${name} may lose`, async t => {
    const server = await startRedis({ args })
    const client = new Redis(server.url, { enableReadyCheck: false })
    t.teardown(async () => {
      client.disconnect()
      await server.stop()
    })
    const warning = await checkDurability(client)
    if (expected === undefined) t.equal(warning, undefined)
    else t.match(warning, expected)
  })
}
