import type { StoredLetter, LetterFilter, DeadLetterPage } from './queue.ts'

/** Most letters of a page, and most that are looked at for one. */
export const PAGE = 100

/** What stands at one place of the storage. */
export interface Place {
  /** Leads to what is behind it. */
  cursor: string
  /** `undefined` when it has been taken away since. */
  letter: StoredLetter | undefined
}

/** How many places are looked at for a page: without a filter, no more than it shows. */
export function placesOf (filter: LetterFilter | undefined, limit: number): number {
  return filter === undefined ? limit : PAGE
}

/** Makes a page of the places that were looked at, newest first. */
export function pageOf (places: Place[], filter: LetterFilter | undefined, limit: number): DeadLetterPage {
  const met = places.filter((place): place is Place & { letter: StoredLetter } => place.letter !== undefined && (filter?.(place.letter) ?? true))
  const last = met.length > limit ? met[limit - 1] : places[placesOf(filter, limit) - 1]
  return { letters: met.slice(0, limit).map(({ letter }) => letter), ...(last !== undefined && { cursor: last.cursor }) }
}
