import { didYouMean } from '../nearest-name.ts'
import { catalogue } from './catalogue/index.ts'

/** What is to be said of an event that no page documents, by the name that the app gave it; `hooks`: names that `addHook` takes instead. */
export function unknownEvent (name: string, hooks: readonly string[]): string {
  if (hooks.includes(name)) return `no event is named '${name}', but a lifecycle hook is: use addHook('${name}', …)`
  return `no documented event is named '${name}', and its data stays as it comes${didYouMean(name, Object.keys(catalogue))}`
}
