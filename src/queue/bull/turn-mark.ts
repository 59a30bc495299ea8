import type { Redis } from 'ioredis'
import { withinDeadline } from '../../time/within-deadline.ts'

/** Least time between two writes, ms. */
const PACE_MS = 50
/** A queue that is empty begins again with the first turn once it has come so far; there are twice as many. */
const FAR = 2 ** 39

// KEYS: turn. ARGV: newest turn, 1 when the queue is empty, how far to go. Several workers write: the turn never goes back.
const MOVE = `
local epoch, turn = string.match(redis.call('GET', KEYS[1]) or '0.0', '^(%d+)%.(%d+)$')
local newest = math.max(tonumber(turn), tonumber(ARGV[1]))
if ARGV[2] == '1' then
  epoch = epoch + 1
  if newest > tonumber(ARGV[3]) then newest = 0 end
end
redis.call('SET', KEYS[1], string.format('%.0f.%.0f', epoch, newest))
return newest`

/** Tells those who queue events which turn is being handled. A worker writes it, now and then. */
export class TurnMark {
  readonly #client: Redis
  readonly #key: string
  #newest = 0
  #isEmpty = false
  #timer: NodeJS.Timeout | undefined

  constructor (client: Redis, key: string) {
    this.#client = client
    this.#key = key
  }

  /** An event of this turn is being handled. */
  reach (turn: number): void {
    if (turn <= this.#newest) return
    this.#newest = turn
    this.#write()
  }

  /** Nothing waits. */
  empty (): void {
    this.#isEmpty = true
    this.#write()
  }

  stop (): void {
    clearTimeout(this.#timer)
  }

  #write (): void {
    this.#timer ??= setTimeout(async () => {
      this.#timer = undefined
      const isEmpty = this.#isEmpty
      this.#isEmpty = false
      try {
        const turn = await withinDeadline(this.#client.eval(MOVE, 1, this.#key, this.#newest, Number(isEmpty), FAR))
        if (turn === 0) this.#newest = 0
      } catch {
        // Without it turns are less fair for a moment; what comes next writes again.
      }
    }, PACE_MS)
  }
}
