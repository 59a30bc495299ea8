import { FST_B24_FORM_KEY, FST_B24_FORM_LIMIT } from '../errors.ts'
import { decodeText, escapeAt } from './percent.ts'
import { FormTree, MAX_DEPTH, MAX_FIELDS, MAX_KEY_LENGTH, type WireMap } from './form-tree.ts'

const PERCENT = 0x25
const AMPERSAND = 0x26
const OPEN = 0x5b
const CLOSE = 0x5d

/**
 * Decodes a form body as PHP's `http_build_query` writes it and `parse_str` reads it, in one pass. Values are strings, maps
 * have no prototype, and a group whose keys are exactly 0…n−1 in order is a list: `data[BOT][7][x]=1` gives
 * `{ data: { BOT: { 7: { x: '1' } } } }`. Errors never contain keys or values of the body.
 * @throws FST_B24_FORM_LIMIT for more than 16 levels, 1,000 fields or 1,024 characters of a key
 * @throws FST_B24_FORM_KEY for a prototype key, a repeated key, or a value in place of a map
 */
export function decodeForm (body: string): WireMap {
  return new FormReader(body).read()
}

class FormReader {
  readonly #body: string
  readonly #cursor = new FormTree()
  readonly #ampersand: ForwardIndex
  readonly #equals: ForwardIndex
  readonly #percent: ForwardIndex
  readonly #plus: ForwardIndex
  readonly #open: ForwardIndex
  readonly #close: ForwardIndex
  /** End of the part of the key that was read last, and start of the next one. */
  #end = 0
  #next = 0
  #escaped = false
  /** The part of the last key that names its group, bracket included. The next key usually starts with it too. */
  #prefixStart = 0
  #prefixLength = 0

  constructor (body: string) {
    this.#body = body
    this.#ampersand = new ForwardIndex(body, '&')
    this.#equals = new ForwardIndex(body, '=')
    this.#percent = new ForwardIndex(body, '%')
    this.#plus = new ForwardIndex(body, '+')
    this.#open = new ForwardIndex(body, '[')
    this.#close = new ForwardIndex(body, ']')
  }

  read (): WireMap {
    const body = this.#body
    let fields = 0
    for (let at = 0; at < body.length; at++) {
      if (body.charCodeAt(at) === AMPERSAND) continue
      if (++fields > MAX_FIELDS) throw new FST_B24_FORM_LIMIT('fields')
      const end = this.#ampersand.indexFrom(at)
      const keyEnd = Math.min(this.#equals.indexFrom(at), end)
      if (keyEnd - at > MAX_KEY_LENGTH) throw new FST_B24_FORM_LIMIT('key length')
      const key = this.#key(at, keyEnd)
      // As in PHP, fields without a name are ignored.
      if (key !== '') this.#cursor.put(key, keyEnd === end ? '' : this.#text(keyEnd + 1, end))
      at = end
    }
    return this.#cursor.root
  }

  #text (from: number, to: number): string {
    return this.#percent.indexFrom(from) < to || this.#plus.indexFrom(from) < to
      ? decodeText(this.#body, from, to)
      : this.#body.slice(from, to)
  }

  /** Moves to the group that a key names. Returns the last part of the key. */
  #key (start: number, end: number): string {
    let key: string | undefined
    if (this.#hasPrefix(start, end)) {
      this.#next = start + this.#prefixLength
    } else {
      this.#cursor.toRoot()
      this.#prefixLength = 0
      const opened = this.#scan(OPEN, this.#open, start, end)
      key = this.#part(start)
      if (!opened || key === '') return key
    }
    let appends = false
    while (true) {
      const from = this.#next
      if (!this.#scan(CLOSE, this.#close, from, end)) return this.#unclosed(start, end, key)
      const part = this.#part(from)
      if (key !== undefined) this.#cursor.enter(key, part)
      key = part === '' ? this.#cursor.nextIndex() : part
      if (!this.#opens(end)) {
        this.#prefixStart = start
        this.#prefixLength = appends ? 0 : from - start
        return key
      }
      appends ||= part === ''
    }
  }

  #hasPrefix (start: number, end: number): boolean {
    const length = this.#prefixLength
    if (length === 0 || start + length > end) return false
    const body = this.#body
    const last = this.#prefixStart
    for (let offset = 0; offset < length; offset++) {
      if (body.charCodeAt(last + offset) !== body.charCodeAt(start + offset)) return false
    }
    return true
  }

  /** Finds a bracket, plain or escaped. The text before it, or before the end of the key, becomes the part that was read. */
  #scan (bracket: number, plain: ForwardIndex, from: number, end: number): boolean {
    const found = Math.min(plain.indexFrom(from), end)
    this.#escaped = false
    for (let at = this.#percent.indexFrom(from); at < found;) {
      const byte = escapeAt(this.#body, at)
      if (byte === bracket) return this.#found(at, 3)
      this.#escaped = true
      at = this.#percent.indexFrom(at + (byte === -1 ? 1 : 3))
    }
    this.#found(found, 1)
    return found < end
  }

  #found (at: number, width: number): true {
    this.#end = at
    this.#next = at + width
    return true
  }

  #part (from: number): string {
    return this.#escaped || this.#plus.indexFrom(from) < this.#end
      ? decodeText(this.#body, from, this.#end)
      : this.#body.slice(from, this.#end)
  }

  /** Consumes an opening bracket right after a closed one. Anything else after it is ignored, as in PHP. */
  #opens (end: number): boolean {
    const at = this.#next
    if (at >= end) return false
    const code = this.#body.charCodeAt(at)
    if (code === OPEN) this.#next += 1
    else if (code === PERCENT && escapeAt(this.#body, at) === OPEN) this.#next += 3
    else return false
    return true
  }

  /** An unclosed bracket belongs to the name. In later parts of the key it is ignored with all that follows, as in PHP. */
  #unclosed (start: number, end: number, key: string | undefined): string {
    this.#prefixLength = 0
    const { depth } = this.#cursor
    if (key !== undefined && depth > 1) return key
    if (depth > 2) throw new FST_B24_FORM_KEY('a value in place of a map')
    this.#cursor.toRoot()
    return decodeText(this.#body, start, end)
  }
}

/** Finds one character in a text, moving forward only, so that each part of the text is searched once. */
export class ForwardIndex {
  readonly #text: string
  readonly #character: string
  #next = -1

  constructor (text: string, character: string) {
    this.#text = text
    this.#character = character
  }

  /** Returns the first index at or after `from`, or the length of the text. `from` must not decrease between calls. */
  indexFrom (from: number): number {
    if (this.#next < from) {
      const at = this.#text.indexOf(this.#character, from)
      this.#next = at === -1 ? this.#text.length : at
    }
    return this.#next
  }
}

/**
 * Encodes a tree that another parser decoded, so that `decodeForm` can read it. Keys may contain brackets if that parser does not
 * interpret them. Values that a form cannot hold (`null`, functions) are skipped.
 *
 * @throws FST_B24_FORM_LIMIT for more than 16 levels
 */
export function encodeForm (tree: object): string {
  const pairs: string[] = []
  collect(tree, '', 1, pairs)
  return pairs.join('&')
}

function collect (tree: object, prefix: string, depth: number, pairs: string[]): void {
  if (depth > MAX_DEPTH) throw new FST_B24_FORM_LIMIT('depth')
  for (const [key, value] of Object.entries(tree) as Array<[string, unknown]>) {
    const name = prefix === '' ? encodeURIComponent(key) : `${prefix}[${encodeURIComponent(key)}]`
    if (typeof value === 'object' && value !== null) collect(value, name, depth + 1, pairs)
    else if (typeof value === 'boolean') pairs.push(`${name}=${value ? 1 : 0}`)
    else if (typeof value === 'string' || typeof value === 'number') pairs.push(`${name}=${encodeURIComponent(value)}`)
  }
}
