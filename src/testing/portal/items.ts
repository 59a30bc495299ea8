import type { Row } from './row-query.ts'

/** What can happen to an item. */
export type Change = 'ADD' | 'UPDATE' | 'DELETE'

/** An event as the portal makes it. */
export interface RaisedEvent {
  code: string
  data: unknown
}

/** A smart process. */
export interface ItemType {
  id: number
  entityTypeId: number
  title: string
}

const NAMES = new Map([[1, 'LEAD'], [2, 'DEAL'], [3, 'CONTACT'], [4, 'COMPANY'], [7, 'QUOTE']])
const SMART_INVOICE = 31

/** CRM items of one portal, by type and id. */
export class Items {
  readonly #types = new Map<number, ItemType>()
  readonly #items = new Map<number, Map<number, Row>>()

  get types (): ItemType[] {
    return [...this.#types.values()]
  }

  knows (entityTypeId: number): boolean {
    return NAMES.has(entityTypeId) || entityTypeId === SMART_INVOICE || this.#types.has(entityTypeId)
  }

  /** Adds a smart process, unless it is there. */
  addType (entityTypeId: number, title = `Process ${entityTypeId}`): void {
    if (!this.knows(entityTypeId)) this.#types.set(entityTypeId, { id: this.#types.size + 1, entityTypeId, title })
  }

  get (entityTypeId: number, id: number): Row | undefined {
    return this.#items.get(entityTypeId)?.get(id)
  }

  all (entityTypeId: number): Row[] {
    return [...this.#items.get(entityTypeId)?.values() ?? []]
  }

  /** Puts fields over those of an item, which is made when there is none. */
  put (entityTypeId: number, id: number, fields: Row = {}): Row {
    this.addType(entityTypeId)
    const now = new Date().toISOString().replace(/\.\d+Z$/, '+00:00')
    const known = this.get(entityTypeId, id) ?? { id, entityTypeId, title: `Item ${id}`, createdTime: now }
    const item = { ...known, ...fields, id, entityTypeId, updatedTime: now }
    const items = this.#items.get(entityTypeId) ?? new Map<number, Row>()
    this.#items.set(entityTypeId, items.set(id, item))
    return item
  }

  nextId (entityTypeId: number): number {
    return Math.max(0, ...this.#items.get(entityTypeId)?.keys() ?? []) + 1
  }

  delete (entityTypeId: number, id: number): boolean {
    return this.#items.get(entityTypeId)?.delete(id) ?? false
  }
}

/** The events that a change raises: deals and their like have their own; smart processes a common one, and one of their type. */
export function eventsOf (entityTypeId: number, id: number, change: Change): RaisedEvent[] {
  const name = NAMES.get(entityTypeId)
  if (name !== undefined) return [{ code: `ONCRM${name}${change}`, data: { FIELDS: { ID: id } } }]
  const code = `ONCRMDYNAMICITEM${change}`
  const data = { FIELDS: { ID: id, ENTITY_TYPE_ID: entityTypeId } }
  return [{ code, data }, { code: `${code}_${entityTypeId}`, data }]
}
