/** More than so many letters away, it is another word. */
const MOST_EDITS = 3

/**
 * Of some names the one that a misspelt one stands for, whatever its capitals: one with a letter or two, of long names three, added, left
 * out or mistaken, or one that is the beginning of the other. `undefined` where none is near.
 */
export function nearestName (given: string, names: Iterable<string>): string | undefined {
  let nearest: string | undefined
  let least = Math.min(MOST_EDITS, Math.floor(given.length / 3)) + 1
  for (const name of names) {
    const edits = editsBetween(given.toLowerCase(), name.toLowerCase())
    if (edits < least) [nearest, least] = [name, edits]
  }
  return nearest
}

/** End of a message about a name that there is not. */
export function didYouMean (given: string, names: Iterable<string>): string {
  const nearest = nearestName(given, names)
  return nearest === undefined ? '' : `; did you mean '${nearest}'?`
}

function editsBetween (a: string, b: string): number {
  const [short, long] = a.length < b.length ? [a, b] : [b, a]
  if (long.startsWith(short) && short.length >= long.length / 2) return long === short ? 0 : 1
  // Levenshtein's distance, row by row.
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1]
    for (let j = 0; j < b.length; j++) next.push(Math.min(next[j]! + 1, row[j + 1]! + 1, row[j]! + (letter === b[j] ? 0 : 1)))
    row = next
  }
  return row[b.length]!
}
