import * as Type from 'typebox'
import type { Static, TProperties, TSchema } from 'typebox'

/*
 * Vocabulary of the tables, with three rules.
 *
 * Optional: null, empty lists and empty maps are not sent. So a field is optional if the documentation calls it conditional or nullable,
 * if the page marks others as required but not this one, or if it is a list or map other than the event's subject. Scalars are always
 * present ('' is sent), and so is the subject: `event.data.FIELDS.ID` needs no `?`.
 *
 * Values: documented values are not exhaustive. `oneOf` offers them and accepts any.
 *
 * Variants: if two pages differ on a field, its type accepts both.
 */

export const text = Type.String()
export const int = Type.Integer()
export const double = Type.Number()
export const bool = Type.Boolean()
/** ISO 8601 with a zone; stays a string. */
export const datetime = Type.String()
/** Unix seconds; stays a number. */
export const timestamp = Type.Integer()
export const unknown = Type.Unknown()
export const nothing = Type.Undefined()

export const object = Type.Object
export const optional = Type.Optional
export const list = Type.Array

/** Object with additional keys of the sender's choice. */
export const openObject = <T extends TProperties>(properties: T) => (
  Type.Unsafe<Static<ReturnType<typeof Type.Object<T>>> & Record<string, unknown>>(Type.Object(properties, { open: true }))
)
// Not `Type.Record`, which would add a hundred kilobytes of typebox to the bundle.
/** Map whose keys are ids or chosen by the sender. */
export const mapOf = <T extends TSchema>(item: T) => Type.Unsafe<Record<string, Static<T>>>({ type: 'object', patternProperties: { '^.*$': item } })
export const freeMap = mapOf(unknown)

/** List on one page, single element on another; always decoded to a list. */
export const listOrOne = <T extends TSchema>(item: T) => Type.Array(item, { loneItem: true })
/** One value or a list of them, kept as sent. */
export const oneOrList = <T extends TSchema>(item: T) => Type.Union([item, Type.Array(item)])
/** `false` if there is no value. */
export const orFalse = <T extends TSchema>(schema: T) => Type.Union([Type.Literal(false), schema])
/** Id of Bitrix24 or an external system. */
export const anyId = Type.Union([Type.Integer(), Type.String()])
/** The string `undefined` is sent if there is no value. */
export const orUndefined = <T extends TSchema>(schema: T) => Type.Optional(Type.Unsafe<Static<T>>({ ...schema, wireUndefined: true }))

type Open<Value> = Value | (Value extends string ? string & {} : number & {})

/** Documented values; others are possible. */
export function oneOf<const Value extends string | number> (...values: Value[]) {
  return Type.Unsafe<Open<Value>>({ type: typeof values[0] === 'string' ? 'string' : 'integer', examples: values })
}

export const yesNo = oneOf('Y', 'N')

/** `data.FIELDS`, used by most events. */
export const fields = <T extends TProperties>(properties: T) => Type.Object({ FIELDS: Type.Object(properties) })
export const fieldsId = fields({ ID: int })
