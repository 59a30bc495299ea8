/** Most texts that are kept. */
const MOST_KEPT = 256

/** Lua for a script of BullMQ whose argument `at` is plain: reads that one as JSON, and others as they were packed. */
export const readPlain = (at: number): string => `
local packed = cmsgpack
local cmsgpack = { unpack = function(text) return text == ARGV[${at}] and cjson.decode(text) or packed.unpack(text) end }`

/**
 * Gives the options that BullMQ has packed as JSON. ioredis writes a command at once when all of it is text, but one argument after the
 * other when one is a Buffer, which costs a worker 5 µs more for each event. Options of one worker are nearly always the same: their text
 * is kept.
 */
export class PlainOptions {
  readonly #unpack: (packed: Buffer) => unknown
  readonly #texts = new Map<string, string>()

  constructor (unpack: (packed: Buffer) => unknown) {
    this.#unpack = unpack
  }

  of (packed: Buffer): string {
    const key = packed.toString('latin1')
    const known = this.#texts.get(key)
    if (known !== undefined) return known
    // In Lua what is null in JSON is something; what was nil in the packed form was nothing.
    const text = JSON.stringify(this.#unpack(packed), (_, value) => value ?? undefined)
    if (this.#texts.size === MOST_KEPT) this.#texts.clear()
    this.#texts.set(key, text)
    return text
  }
}
