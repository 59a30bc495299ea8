import { FST_B24_FORM_KEY, FST_B24_FORM_LIMIT } from '../errors.ts'

/** Value of a decoded body: strings, lists and maps from a form; JSON adds the other scalars. */
export type WireValue = string | number | boolean | null | WireValue[] | WireMap

/** A map without a prototype. */
export interface WireMap { [key: string]: WireValue }

/** Creates a map without a prototype, so that keys of a body cannot reach inherited properties. */
export function emptyMap (): WireMap {
  return Object.create(null)
}

// Well above any genuine body: the deepest documented one has 5 levels, the widest about a hundred fields, the longest key about
// 60 characters. Bitrix24 documents no maximum.

/** Levels of maps and lists, including the body itself. */
export const MAX_DEPTH = 16
/** Values in one body. */
export const MAX_FIELDS = 1000
/** Characters of a key as sent: in a form, the whole key with its brackets and escapes. */
export const MAX_KEY_LENGTH = 1024

// Inherited properties of every object, and `prototype`. No genuine body has them. A forged one aims at a later merge or lookup in
// the app or the storage, where maps have prototypes again.
const REFUSED = new Set([
  '__proto__',
  'prototype',
  'constructor',
  'hasOwnProperty',
  'isPrototypeOf',
  'propertyIsEnumerable',
  'toLocaleString',
  'toString',
  'valueOf',
  '__defineGetter__',
  '__defineSetter__',
  '__lookupGetter__',
  '__lookupSetter__'
])

// Comparing lengths first is cheaper than a lookup in the set, and rules out most keys.
let lengths = 0
for (const key of REFUSED) lengths |= 1 << key.length

/** Returns whether a decoded key is forbidden at every level of a body. */
export function isPrototypeKey (key: string): boolean {
  return (lengths & 1 << key.length) !== 0 && REFUSED.has(key)
}

/**
 * Builds the tree of a form. Keeps a current group: `enter` moves into a nested one, `put` adds a value. A group starts as a list
 * when its first key is 0, and becomes a map at the first key that is not the next index.
 */
export class FormTree {
  readonly root = emptyMap()
  #group: WireMap | WireValue[] = this.root
  #holder: WireMap | WireValue[] = this.root
  #holderKey = ''
  #depth = 1

  toRoot (): void {
    this.#group = this.root
    this.#depth = 1
  }

  /** 1 at the root. */
  get depth (): number {
    return this.#depth
  }

  /** Moves to the group under `key`, creating it if needed; `first` is the first key that will be added to it. */
  enter (key: string, first: string): void {
    if (++this.#depth > MAX_DEPTH) throw new FST_B24_FORM_LIMIT('depth')
    let child = this.#get(key)
    if (child === undefined) {
      child = first === '0' || first === '' ? [] : emptyMap()
      this.#add(key, child)
    } else if (typeof child !== 'object') {
      throw new FST_B24_FORM_KEY('a value in place of a map')
    }
    this.#holder = this.#group
    this.#holderKey = key
    this.#group = child as WireMap | WireValue[]
  }

  put (key: string, value: string): void {
    const present = this.#get(key)
    if (present === undefined) this.#add(key, value)
    else throw new FST_B24_FORM_KEY(typeof present === 'string' ? 'a repeated key' : 'a value in place of a map')
  }

  /** Returns the key of an empty pair of brackets. */
  nextIndex (): string {
    if (!Array.isArray(this.#group)) throw new FST_B24_FORM_KEY('an element without a key in a map')
    return String(this.#group.length)
  }

  #get (key: string): WireValue | undefined {
    const group = this.#group
    if (!Array.isArray(group)) return group[key]
    const index = Number(key)
    return String(index) === key ? group[index] : undefined
  }

  #add (key: string, value: WireValue): void {
    let group = this.#group
    if (Array.isArray(group)) {
      if (key === String(group.length)) {
        group.push(value)
        return
      }
      group = this.#toMap(group)
    }
    if (isPrototypeKey(key)) throw new FST_B24_FORM_KEY('a prototype key')
    group[key] = value
  }

  #toMap (list: WireValue[]): WireMap {
    const map = emptyMap()
    for (const [index, value] of list.entries()) map[index] = value
    if (Array.isArray(this.#holder)) this.#holder[Number(this.#holderKey)] = map
    else this.#holder[this.#holderKey] = map
    this.#group = map
    return map
  }
}
