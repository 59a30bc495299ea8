import type { TSchema } from 'typebox'

/** Definition of an event. */
export interface EventDefinition<Name extends string = string, Data extends TSchema = TSchema> {
  /** Documented name with a lower-case first letter. */
  readonly name: Name
  /** Name on the wire: `name` in upper case. */
  readonly code: string
  /** REST scope of the event: the first of `scopes`. */
  readonly scope: string
  /** Scopes, any of which permits the event. */
  readonly scopes: readonly string[]
  /** Documentation page, relative to https://github.com/bitrix24/b24restdocs/blob/main/. `undefined` if `documented` is `false`. */
  readonly doc: string | undefined
  /** Undocumented; known from the public sources of Bitrix24's modules. */
  readonly documented?: false
  /** Never sent, and rejected by `event.bind`: the app subscribes with `im.v2.Event.subscribe` and fetches with `im.v2.Event.get`. */
  readonly delivery?: 'fetch'
  /** Documented types of `data`; `Undefined` for events without data. */
  readonly data: Data
  /** There are additional codes with a type suffix: `ONCRMDYNAMICITEMADD_147`. */
  readonly suffixed?: true
  /** In the outdated part of the documentation. */
  readonly deprecated?: true
  /** Item of the event; absent if deliveries are independent. */
  readonly item?: ItemKey
  /** The data contains more than the item's id, so deliveries must not be merged. */
  readonly content?: true
}

/** Location of the item's id in an event. */
export interface ItemKey {
  /** Kind of the item, the same for all its events: `deal`. */
  readonly kind: string
  /** Ids that identify an item; for each, the possible paths in `data`, preferred first. */
  readonly ids: ReadonlyArray<ReadonlyArray<readonly string[]>>
}

/**
 * Item of a row. A string is the kind of the item that `FIELDS.ID` identifies. A list also contains the paths of its ids:
 * `['dynamic', 'FIELDS.ENTITY_TYPE_ID', 'FIELDS.ID']`; `A|B` means B if A is absent, and `''` means `data` itself.
 */
type ItemMark = string | readonly [kind: string, ...ids: string[]]
type Marks = Pick<EventDefinition, 'suffixed' | 'deprecated' | 'content' | 'delivery'> & { readonly item?: ItemMark }
type Definitions<Name extends string, Data extends TSchema> = { readonly [N in Name]: EventDefinition<N, Data> }

/** One scope, or all that permit the events, the main one first. */
type Scope = string | readonly [string, ...string[]]

/**
 * Creates a table for events of one scope, with pages below `root`. Each row has a page, its events, the shape of their data, and
 * additional marks. A page that ends with `/` is a directory with a page per event (`onTaskAdd`: `on-task-add.md`).
 */
export function eventTable (scope: Scope, root: string, marks: Marks = {}) {
  const scopes = typeof scope === 'string' ? [scope] : scope
  return function row<Name extends string, Data extends TSchema> (
    page: string, names: readonly Name[], data: Data, rowMarks: Marks = {}
  ): Definitions<Name, Data> {
    const { item, ...others } = { ...marks, ...rowMarks }
    const known = { scope: scopes[0] as string, scopes, data, ...others, ...(item !== undefined && { item: itemKey(item) }) }
    const entries = names.map(name => [name, { name, code: name.toUpperCase(), doc: pageOf(root + page, name), ...known }])
    return Object.fromEntries(entries) as Definitions<Name, Data>
  }
}

/** Creates a table for one page or directory: rows have only events, their shape and marks. */
export function eventPage (scope: Scope, page: string, marks: Marks = {}) {
  const row = eventTable(scope, page, marks)
  return <Name extends string, Data extends TSchema>(names: readonly Name[], data: Data, rowMarks?: Marks) => (
    row('', names, data, rowMarks)
  )
}

/** Creates a table of undocumented events. */
export function undocumented (scope: string, marks: Marks = {}) {
  const row = eventTable(scope, '', marks)
  return <Name extends string, Data extends TSchema>(names: readonly Name[], data: Data): Definitions<Name, Data> => {
    const rows = Object.entries<EventDefinition>(row('', names, data)).map(([name, known]) => [name, { ...known, doc: undefined, documented: false }])
    return Object.fromEntries(rows) as Definitions<Name, Data>
  }
}

function itemKey (mark: ItemMark): ItemKey {
  const [kind, ...ids] = typeof mark === 'string' ? [mark, 'FIELDS.ID'] : mark
  return { kind, ids: ids.map(places => places.split('|').map(place => place === '' ? [] : place.split('.'))) }
}

function pageOf (path: string, name: string): string {
  if (!path.endsWith('/')) return path
  return `${path}${name.replace(/([a-z0-9])([A-Z])/g, '$1-$2').replaceAll('.', '-').toLowerCase()}.md`
}
