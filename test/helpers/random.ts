import { hash } from 'node:crypto'

/** Numbers from 0 up to 1, the same for the same seed. */
export type Random = () => number

export function randomFrom (seed: string): Random {
  let count = 0
  return () => parseInt(hash('sha256', `${seed} ${count++}`).slice(0, 12), 16) / 2 ** 48
}

/** A whole number from `least` to `most`. */
export function between (random: Random, least: number, most: number): number {
  return least + Math.floor(random() * (most - least + 1))
}
