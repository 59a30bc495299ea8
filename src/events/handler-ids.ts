import { hash } from 'node:crypto'
import type { OpenFilter } from './filter.ts'

type Handler = (...args: never[]) => unknown

/**
 * Names handlers so that the same program gives the same names in every process. A name stays what it is while hooks come
 * and go: one that another handler took over would let that one count as done.
 */
export class HandlerIds {
  readonly #counts = new Map<string, number>()
  readonly #ids = new WeakMap<Handler, Map<string, string>>()

  /** Id of a handler for events of this code, `undefined` for all. It begins with `~`. */
  idOf (code: string | undefined, filter: OpenFilter | undefined, handler: Handler): string {
    const text = Function.prototype.toString.call(handler)
    const digest = hash('sha256', JSON.stringify([code ?? null, filter ?? null, handler.name, text]), 'base64url').slice(0, 16)
    const own = this.#ids.get(handler) ?? new Map<string, string>()
    const id = own.get(digest) ?? this.#next(digest)
    this.#ids.set(handler, own.set(digest, id))
    return id
  }

  #next (digest: string): string {
    const count = (this.#counts.get(digest) ?? 0) + 1
    this.#counts.set(digest, count)
    return count === 1 ? `~${digest}` : `~${digest}.${count}`
  }
}
