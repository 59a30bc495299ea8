import { Compile } from 'typebox/schema'
import { EnvelopeSchema, type Envelope } from './envelope.ts'

const validator = Compile(EnvelopeSchema)

/** Tells whether a decoded body meets the schema of the envelope. Does not depend on the validator of the host app. */
export function checkEnvelope (value: unknown): value is Envelope {
  return validator.Check(value)
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
