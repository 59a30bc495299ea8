import { Compile } from 'typebox/schema'
import { isObject } from '../validation.ts'
import { EnvelopeSchema, type Envelope } from './envelope.ts'

const validator = Compile(EnvelopeSchema)

/** Without these nobody knows what happened, or who says so. */
const NEEDED = ['event', 'member_id', 'application_token']

/**
 * Returns whether a decoded body meets the schema of the envelope. Does not depend on the validator of the host app.
 *
 * A field that nothing depends on, such as `ts`, is taken out of the body where it does not fit: Bitrix24 sends an event once, and it
 * must not be lost for the time that stands on it.
 */
export function checkEnvelope (value: unknown): value is Envelope {
  // The validator names a few mismatches at a time.
  do if (validator.Check(value)) return true
  while (dropMismatches(value))
  return false
}

/** Returns whether anything was taken out. */
function dropMismatches (body: unknown): boolean {
  const found = mismatchesOf(body)
  for (const [parent, key] of found) delete parent[key]
  return found.length > 0
}

function mismatchesOf (body: unknown): Array<[parent: Record<string, unknown>, key: string]> {
  return validator.Errors(body)[1].flatMap(({ instancePath }) => {
    const path = instancePath.split('/').slice(1)
    const key = path.at(-1)
    const parent = path.length === 2 && isObject(body) ? body[path[0] as string] : body
    const isOptional = key !== undefined && path.length <= 2 && path[0] !== 'event' && key !== 'auth' && !NEEDED.includes(key)
    return isOptional && isObject(parent) ? [[parent, key] as [Record<string, unknown>, string]] : []
  })
}

/**
 * Says in a few words why a body is no envelope: `auth.member_id is missing`. Never has a value of the body in it.
 * `undefined` for a body that meets the schema.
 */
export function envelopeProblem (value: unknown): string | undefined {
  const [, errors] = validator.Errors(value)
  // The branches of a union come before the union itself, which says enough.
  const error = errors.find(({ schemaPath }) => !schemaPath.includes('/anyOf/'))
  if (error === undefined) return undefined
  const path = error.instancePath.slice(1).replaceAll('/', '.')
  switch (error.keyword) {
    case 'required': return `${path === '' ? '' : `${path}.`}${error.params.requiredProperties[0]} is missing`
    case 'type': return `${path === '' ? 'it' : path} must be ${article(String(error.params.type))}`
    default: return `${path} has a value that is not allowed`
  }
}

function article (type: string): string {
  return type === 'object' ? `an ${type}` : `a ${type}`
}
