import pLimit from 'p-limit'

export interface BurstOptions {
  /**
   * Deliveries under way at once.
   * @default 16
   */
  concurrency?: number
  /**
   * Changes the order.
   * @default false
   */
  shuffle?: boolean
  /** Start of the random order, so that a failure can be run again. @default 1 */
  seed?: number
  /**
   * Copies of each, byte for byte.
   * @default 1
   */
  copies?: number
}

/**
 * Runs `send` for each item, many at once, with copies and out of order on request.
 *
 * @returns the results in the order of sending
 */
export async function burst<T, R> (items: Iterable<T>, send: (item: T, index: number) => Promise<R>, options: BurstOptions = {}): Promise<R[]> {
  const { concurrency = 16, shuffle = false, seed = 1, copies = 1 } = options
  const list = [...items].flatMap(item => Array<T>(copies).fill(item))
  return await pLimit(concurrency).map(shuffle ? shuffled(list, seed) : list, send)
}

function shuffled<T> (list: T[], seed: number): T[] {
  const random = randomFrom(seed)
  return list.map(item => ({ item, place: random() })).sort((a, b) => a.place - b.place).map(({ item }) => item)
}

/** Mulberry32: a few lines, and the same order on every machine. */
function randomFrom (seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6D2B79F5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
