import { FST_B24_FORM_KEY, FST_B24_FORM_LIMIT } from '../errors.ts'

/** What a decoded body holds: a form has strings, lists and maps; JSON has the other scalars too. */
export type WireValue = string | number | boolean | null | WireValue[] | WireMap

/** A map without a prototype. */
export interface WireMap { [key: string]: WireValue }

/** Makes a map that inherits nothing, so that no key of a body means more than its value. */
export function emptyMap (): WireMap {
  return Object.create(null)
}

// Far above any genuine body and far below what hurts: the deepest documented one has 5 levels, the widest some hundred
// fields, the longest key some 60 characters. Bitrix24 states no maximum.

/** Levels of maps and lists, the body itself included. */
export const MAX_DEPTH = 16
/** Values in one body. */
export const MAX_FIELDS = 1000
/** Characters of a key as it is sent: in a form that is the whole key with its brackets and escapes. */
export const MAX_KEY_LENGTH = 1024

// What every object of JavaScript inherits, and `prototype`. No genuine body has them; a body that does is after a merge or a
// lookup further on, in the app or in what stores the event, where the maps have prototypes again.
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

// Most keys have another length than all of these, which is cheaper to see than that they are not in the set.
let lengths = 0
for (const key of REFUSED) lengths |= 1 << key.length

/** Tells whether a decoded key is one that a body must not have at any level. */
export function isPrototypeKey (key: string): boolean {
  return (lengths & 1 << key.length) !== 0 && REFUSED.has(key)
}

/**
 * Builds the tree of a form: stands at one group of it, goes further in, and puts values there. A group starts as a list when
 * its first key is 0, and becomes a map with the first key that is not the next index.
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

  /** Goes to the group under `key`, which is made when it is not there; `first` is the key that will be put into it. */
  enter (key: string, first: string): void {
    if (++this.#depth > MAX_DEPTH) throw new FST_B24_FORM_LIMIT('depth')
    let child = this.#get(key)
    if (child === undefined) {
      child = first === '0' || first === '' ? [] : emptyMap()
      this.#add(key, child)
    } else if (typeof child !== 'object') {
      throw new FST_B24_FORM_KEY('a value where a map is')
    }
    this.#holder = this.#group
    this.#holderKey = key
    this.#group = child as WireMap | WireValue[]
  }

  put (key: string, value: string): void {
    const present = this.#get(key)
    if (present === undefined) this.#add(key, value)
    else throw new FST_B24_FORM_KEY(typeof present === 'string' ? 'a repeated key' : 'a value where a map is')
  }

  /** The key that an empty pair of brackets stands for. */
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
