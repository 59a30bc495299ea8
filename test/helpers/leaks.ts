import { inspect } from 'node:util'
import Fastify from 'fastify'

/** All that a logger or a debugger could print of a value, its hidden properties too. */
export function printed (value: unknown): string {
  const lines: string[] = []
  const app = Fastify({ logger: { stream: { write: line => { lines.push(line) } } } })
  app.log.error({ err: value }, 'failed')
  app.log.error(value)
  return [
    ...lines,
    String(value),
    JSON.stringify(value),
    inspect(value, { showHidden: true, depth: Infinity, getters: true, maxStringLength: Infinity, maxArrayLength: Infinity }),
    walk(value, new Set())
  ].join('\n')
}

/** Every property of every object behind a value, those of prototypes that are not built in among them. */
function walk (value: unknown, seen: Set<unknown>): string {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return String(value)
  if (seen.has(value)) return ''
  seen.add(value)
  return Reflect.ownKeys(value).map((key) => {
    const { value: inside } = Object.getOwnPropertyDescriptor(value, key) as PropertyDescriptor
    return `${String(key)}=${walk(inside, seen)}`
  }).join('\n')
}
