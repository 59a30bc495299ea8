import type { Redis } from 'ioredis'
import { withinDeadline } from '../../storage/within-deadline.ts'

/** Least time between two writes, ms. */
const PACE_MS = 50
/** A queue that is empty begins again with the first turn once it has come so far; there are twice as many. */
const FAR = 2 ** 39

// KEYS: turn, events that wait for theirs. ARGV: newest turn, 1 when the queue was empty, how far to go. Several workers write: the turn never goes back.
const MOVE = `
local epoch, turn = string.match(redis.call('GET', KEYS[1]) or '0.0', '^(%d+)%.(%d+)$')
local newest = math.max(tonumber(turn), tonumber(ARGV[1]))
if ARGV[2] == '1' and redis.call('EXISTS', KEYS[2]) == 0 then
  epoch = epoch + 1
  if newest > tonumber(ARGV[3]) then newest = 0 end
end
redis.call('SET', KEYS[1], string.format('%.0f.%.0f', epoch, newest))
return newest`

/** Tells those who queue events which turn is being handled. A worker writes it, now and then. */
export class TurnMark {
  readonly #client: Redis
  readonly #keys: [turn: string, prioritized: string]
  #newest = 0
  #isEmpty = false
  #timer: NodeJS.Timeout | undefined

  /** `prioritized` is the key of the events that wait for their turn. */
  constructor (client: Redis, turn: string, prioritized: string) {
    this.#client = client
    this.#keys = [turn, prioritized]
  }

  /** An event of this turn is being handled. */
  reach (turn: number): void {
    if (turn <= this.#newest) return
    this.#newest = turn
    this.#write()
  }

  /** Nothing waits. Nothing is written of it when something does again by then. */
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
        const turn = await withinDeadline(this.#client.eval(MOVE, 2, ...this.#keys, this.#newest, Number(isEmpty), FAR))
        if (turn === 0) this.#newest = 0
      } catch {
        // Without it turns are less fair for a moment; what comes next writes again.
      }
    }, PACE_MS)
  }
}
