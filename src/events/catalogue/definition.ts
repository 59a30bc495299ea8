import type { TSchema } from 'typebox'

/** What is known of one event. */
export interface EventDefinition<Name extends string = string, Data extends TSchema = TSchema> {
  /** Documented name with a small first letter. */
  readonly name: Name
  /** The name on the wire: the same in capitals. */
  readonly code: string
  /** Permission of the app that the event belongs to. */
  readonly scope: string
  /** Page of the documentation, below https://github.com/bitrix24/b24restdocs/blob/main/ */
  readonly doc: string
  /** Documented types of `data`; `Undefined` where the event has no data. */
  readonly data: Data
  /** There is a code for each type besides: `ONCRMDYNAMICITEMADD_147`. */
  readonly suffixed?: true
  /** In the outdated part of the documentation. */
  readonly deprecated?: true
}

type Marks = Pick<EventDefinition, 'suffixed' | 'deprecated'>
type Definitions<Name extends string, Data extends TSchema> = { readonly [N in Name]: EventDefinition<N, Data> }

/**
 * Opens a table: the events of one scope, whose pages stand below `root`. Each row names a page, the events on it and
 * the shape of their data. A page that ends with `/` is a folder, where each event has a page of its own name
 * (`onTaskAdd`: `on-task-add.md`).
 */
export function eventTable (scope: string, root: string, marks: Marks = {}) {
  return function row<Name extends string, Data extends TSchema> (
    page: string, names: readonly Name[], data: Data, rowMarks: Marks = marks
  ): Definitions<Name, Data> {
    const entries = names.map(name => [name, {
      name, code: name.toUpperCase(), scope, doc: pageOf(root + page, name), data, ...rowMarks
    }])
    return Object.fromEntries(entries) as Definitions<Name, Data>
  }
}

/** Opens a table whose rows are all on one page, or in one folder: a row has only the events and their shape. */
export function eventPage (scope: string, page: string, marks: Marks = {}) {
  const row = eventTable(scope, page, marks)
  return <Name extends string, Data extends TSchema>(names: readonly Name[], data: Data) => row('', names, data)
}

function pageOf (path: string, name: string): string {
  if (!path.endsWith('/')) return path
  return `${path}${name.replace(/([a-z0-9])([A-Z])/g, '$1-$2').replaceAll('.', '-').toLowerCase()}.md`
}
