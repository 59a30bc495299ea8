import { FST_B24_FORM_KEY, FST_B24_FORM_LIMIT } from '../errors.ts'
import { isPrototypeKey } from './keys.ts'
import { MAX_DEPTH } from './limits.ts'
import { emptyMap, type WireMap, type WireValue } from './value.ts'

/**
 * Builds the tree of a form: stands at one group of it, goes further in, and puts values there. A group starts as a list when
 * its first key is 0, and becomes a map with the first key that is not the next index.
 */
export class Cursor {
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
