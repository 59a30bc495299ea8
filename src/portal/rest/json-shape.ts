/** Levels of maps and lists; no method of Bitrix24 answers with a fifth of them. */
const MOST_LEVELS = 64
/** A list of 50 rows with 300 fields has 15,000 values in some 400 KB. */
const BYTES_PER_VALUE = 8
const LEAST_VALUES = 1_000

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const OPENERS = new Set([0x5b, 0x7b])
const CLOSERS = new Set([0x5d, 0x7d])

/**
 * Says what a text of JSON has too much of to be parsed, values or levels; `undefined` when it may be. A few KB on the wire may unpack to
 * a million empty lists, which take fifteen times the memory of their text.
 *
 * @param maxBytes largest answer that the call takes: with it grows how many values it may have
 */
export function excessOf (json: Buffer, maxBytes: number): string | undefined {
  const mostValues = Math.max(LEAST_VALUES, Math.floor(maxBytes / BYTES_PER_VALUE))
  let levels = 0
  let values = 0
  for (let at = 0; at < json.length; at++) {
    const byte = json[at] as number
    if (byte === QUOTE) {
      for (at++; at < json.length && json[at] !== QUOTE; at++) if (json[at] === BACKSLASH) at++
    } else if (byte === COMMA) {
      if (++values > mostValues) return `${mostValues} values`
    } else if (OPENERS.has(byte)) {
      if (++levels > MOST_LEVELS) return `${MOST_LEVELS} levels`
      if (++values > mostValues) return `${mostValues} values`
    } else if (CLOSERS.has(byte)) levels--
  }
  return undefined
}
