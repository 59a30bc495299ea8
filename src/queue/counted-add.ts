import type { IRedisClient, RedisQueueBackend } from 'bullmq'
import type { Redis } from 'ioredis'

type Definition = Parameters<IRedisClient['defineCommand']>[1]
type Target = Parameters<RedisQueueBackend['addJobToTransaction']>[0]

// Goes before BullMQ's own script, and decides as that does: what is waiting takes the repeat in; beside what is active, only
// the last repeat is kept, and stands for those before it. ARGV ends with: prefix of the queue's keys, job, deduplication id.
const countInto = (repeats: string) => `
do
  local repeats, queue, job, repeated = '${repeats}', ARGV[#ARGV - 2], ARGV[#ARGV - 1], ARGV[#ARGV]
  local owner = redis.call('GET', queue .. 'de:' .. repeated)
  if owner and redis.call('EXISTS', queue .. owner) == 1 and redis.call('EXISTS', queue .. job) == 0 then
    if redis.call('LPOS', queue .. 'active', owner) then
      local last = redis.call('HGET', queue .. 'dn:' .. repeated, 'jid')
      if last and last ~= job then
        redis.call('HSET', repeats, job, (redis.call('HGET', repeats, last) or 0) + 1)
        redis.call('HDEL', repeats, last)
      end
    else
      redis.call('HINCRBY', repeats, owner, 1)
    end
  end
end
`

/**
 * Runs BullMQ's scripts that add a job so that they also count, under the id of each job, how many repeats it took in.
 *
 * BullMQ drops repeats silently; counted by a command of its own, one could be counted for the wrong run.
 */
export class CountedAdd {
  readonly #client: Redis
  readonly #repeats: string
  readonly #run: IRedisClient['runCommand']
  readonly #definitions = new Map<string, Definition>()

  constructor (client: Redis, adapted: IRedisClient, repeats: string) {
    this.#client = client
    this.#run = (name, args) => adapted.runCommand(name, args)
    this.#repeats = repeats
  }

  /** Learns a script that BullMQ defines. */
  learn (name: string, definition: Definition): void {
    this.#definitions.set(name, definition)
  }

  /** Where BullMQ sends the script that adds this job. */
  target (queue: string, jobId: string, repeated: string): Target {
    return { runCommand: (name: string, args: unknown[]) => this.#run(this.#counting(name), [...args, queue, jobId, repeated]) } as unknown as Target
  }

  #counting (name: string): string {
    const counting = `b24:${name}`
    if (!(counting in this.#client)) {
      const { lua, numberOfKeys } = this.#definitions.get(name) as Definition
      this.#client.defineCommand(counting, { lua: countInto(this.#repeats) + lua, numberOfKeys: numberOfKeys as number })
    }
    return counting
  }
}
