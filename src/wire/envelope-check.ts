import { Compile } from 'typebox/schema'
import { isObject } from '../validation.ts'
import { EnvelopeSchema, type Envelope } from './envelope.ts'

const validator = Compile(EnvelopeSchema)

/** Fields without which an event can be neither verified nor handled. */
const REQUIRED = ['event', 'member_id', 'application_token']

/**
 * Returns whether a decoded body matches the envelope schema. Independent of the host's validator.
 *
 * Removes optional fields with an invalid value, such as `ts`, from the body: Bitrix24 sends an event once, so it must not be lost
 * because of them.
 */
export function checkEnvelope (value: unknown): value is Envelope {
  // The validator reports a few mismatches at a time.
  do if (validator.Check(value)) return true
  while (dropMismatches(value))
  return false
}

/** Returns whether anything was removed. */
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
    const isOptional = key !== undefined && path.length <= 2 && path[0] !== 'event' && key !== 'auth' && !REQUIRED.includes(key)
    return isOptional && isObject(parent) ? [[parent, key] as [Record<string, unknown>, string]] : []
  })
}

/**
 * Describes why a body does not match the envelope schema: `auth.member_id is missing`. Never contains a value of the body.
 * Returns `undefined` for a valid body.
 */
export function envelopeProblem (value: unknown): string | undefined {
  const [, errors] = validator.Errors(value)
  // Errors of a union's branches come before the error of the union itself, which is enough.
  const error = errors.find(({ schemaPath }) => !schemaPath.includes('/anyOf/'))
  if (error === undefined) return undefined
  const path = error.instancePath.slice(1).replaceAll('/', '.')
  switch (error.keyword) {
    case 'required': return `${path === '' ? '' : `${path}.`}${error.params.requiredProperties[0]} is missing`
    case 'type': return `${path === '' ? 'body' : path} must be ${article(String(error.params.type))}`
    default: return `${path} has an invalid value`
  }
}

function article (type: string): string {
  return type === 'object' ? `an ${type}` : `a ${type}`
}
