import type { EventDefinition } from './catalogue/definition.ts'
import { catalogue } from './catalogue/index.ts'

const definitions = new Map<string, EventDefinition>(Object.values(catalogue).map(definition => [definition.code, definition]))

/** Finds what is known of an event by its name or code, in any case; a code with a type suffix is its base. */
export function definitionOf (event: string): EventDefinition | undefined {
  const code = event.toUpperCase()
  return definitions.get(code) ?? definitions.get(baseCode(code))
}

/** `ONCRMDYNAMICITEMUPDATE` of `ONCRMDYNAMICITEMUPDATE_147`; any other code is its own base. */
export function baseCode (code: string): string {
  const end = code.lastIndexOf('_')
  if (end === -1 || !/^[0-9]+$/.test(code.slice(end + 1))) return code
  const base = code.slice(0, end)
  return definitions.get(base)?.suffixed === true ? base : code
}
