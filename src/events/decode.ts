import type { EventDefinition } from './catalogue/definition.ts'
import { decoderOf } from './decoder.ts'
import { copyTree } from './tree.ts'

/**
 * Takes `data` from the wire, where all scalars may be strings, to its documented types. A value that does not fit stays
 * as it came; `misfits` says how many did. Without a definition everything stays. Where a map is documented and none came
 * there is an empty one, so that a handler can take it apart.
 *
 * Secrets in the data (a bot's tokens) can be read by name, and are not enumerable.
 */
export function decodeData (definition: EventDefinition | undefined, wire: unknown): { data: unknown, misfits: number } {
  const tally = { misfits: 0 }
  if (definition === undefined) return { data: copyTree(wire, tally), misfits: tally.misfits }
  const isObject = 'properties' in definition.data
  const data = wire === undefined || wire === null ? undefined : decoderOf(definition.data)(wire, tally)
  return { data: data === undefined && isObject ? {} : data, misfits: tally.misfits }
}
