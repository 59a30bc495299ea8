import type { TSchema } from 'typebox'

/** What is known of one event. */
export interface EventDefinition<Name extends string = string, Data extends TSchema = TSchema> {
  /** Documented name with a small first letter. */
  readonly name: Name
  /** The name on the wire: the same in capitals. */
  readonly code: string
  /** Permission that the event belongs to, in REST's own word: the first of `scopes`. */
  readonly scope: string
  /** Each of these permissions lets an app have the event. */
  readonly scopes: readonly string[]
  /** Page of the documentation, below https://github.com/bitrix24/b24restdocs/blob/main/. `undefined` where `documented` is `false`. */
  readonly doc: string | undefined
  /** On no page of the documentation: known from the public sources of Bitrix24's modules. */
  readonly documented?: false
  /** Never posted, and refused by `event.bind`: the app subscribes and fetches it, with `im.v2.Event.subscribe` and `im.v2.Event.get`. */
  readonly delivery?: 'fetch'
  /** Documented types of `data`; `Undefined` where the event has no data. */
  readonly data: Data
  /** There is a code for each type besides: `ONCRMDYNAMICITEMADD_147`. */
  readonly suffixed?: true
  /** In the outdated part of the documentation. */
  readonly deprecated?: true
  /** What the event is about; absent where each delivery is for itself. */
  readonly item?: ItemKey
  /** Beside the item: the data says more than which it is, so that no delivery can stand for another. */
  readonly content?: true
}

/** Where an event says which item it is about. */
export interface ItemKey {
  /** Same for all events of the same things: `deal`. */
  readonly kind: string
  /** The ids that make one item; of each, the places in `data` where it may stand, best first. */
  readonly ids: ReadonlyArray<ReadonlyArray<readonly string[]>>
}

/**
 * How a row names its item. A word alone is the kind of what `FIELDS.ID` identifies. In a list, the places of its ids follow:
 * `['dynamic', 'FIELDS.ENTITY_TYPE_ID', 'FIELDS.ID']`; `A|B` stands for B where A has none, and `''` for `data` itself.
 */
type ItemMark = string | readonly [kind: string, ...ids: string[]]
type Marks = Pick<EventDefinition, 'suffixed' | 'deprecated' | 'content' | 'delivery'> & { readonly item?: ItemMark }
type Definitions<Name extends string, Data extends TSchema> = { readonly [N in Name]: EventDefinition<N, Data> }

/** One scope, or all that permit the events; the first is the one that they belong to. */
type Scope = string | readonly [string, ...string[]]

/**
 * Opens a table: the events of one scope, whose pages stand below `root`. Each row names a page, the events on it, the
 * shape of their data, and marks beside those of the table. A page that ends with `/` is a folder, where each event has a
 * page of its own name (`onTaskAdd`: `on-task-add.md`).
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

/** Opens a table whose rows are all on one page, or in one folder: a row has only the events, their shape and marks. */
export function eventPage (scope: Scope, page: string, marks: Marks = {}) {
  const row = eventTable(scope, page, marks)
  return <Name extends string, Data extends TSchema>(names: readonly Name[], data: Data, rowMarks?: Marks) => (
    row('', names, data, rowMarks)
  )
}

/** Opens a table of events that no page documents. */
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
