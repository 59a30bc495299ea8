import * as Type from 'typebox'
import type { Static, TProperties, TSchema } from 'typebox'

/*
 * The words that the tables are written in. Three rules hold in all of them.
 *
 * Optional: null, an empty list and an empty map are not sent, so a field is optional where the documentation calls it
 * conditional or nullable, where the page marks others as required but not this one, and where it is a list or a map
 * beside the event's subject. All else is there: scalars ('' is sent), and the subject itself, since an event about
 * nothing is not sent. `event.data.FIELDS.ID` needs no `?`.
 *
 * Values: a documented list of values is a hint, never a limit: new ones come without a notice. `oneOf` offers the
 * documented ones and takes any.
 *
 * Variants: where two pages differ on a field, its type takes both.
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

/** Has keys of the sender's choice besides. */
export const openObject = <T extends TProperties>(properties: T) => (
  Type.Unsafe<Static<ReturnType<typeof Type.Object<T>>> & Record<string, unknown>>(Type.Object(properties, { open: true }))
)
// Not `Type.Record`: it would bring a hundred kilobytes of typebox into the bundle.
/** Keys are ids, or whatever the sender chose. */
export const mapOf = <T extends TSchema>(item: T) => Type.Unsafe<Record<string, Static<T>>>({ type: 'object', patternProperties: { '^.*$': item } })
export const freeMap = mapOf(unknown)

/** One page documents a list, another its only element alone; it always becomes a list. */
export const listOrOne = <T extends TSchema>(item: T) => Type.Array(item, { loneItem: true })
/** One value, or a list of them; each stays what it is. */
export const oneOrList = <T extends TSchema>(item: T) => Type.Union([item, Type.Array(item)])
/** `false` where there is nothing to tell. */
export const orFalse = <T extends TSchema>(schema: T) => Type.Union([Type.Literal(false), schema])
/** An id of Bitrix24, or of the external system. */
export const anyId = Type.Union([Type.Integer(), Type.String()])
/** The string `undefined` is sent where there is nothing. */
export const orUndefined = <T extends TSchema>(schema: T) => Type.Optional(Type.Unsafe<Static<T>>({ ...schema, wireUndefined: true }))

type Open<Value> = Value | (Value extends string ? string & {} : number & {})

/** Documented values; others may come. */
export function oneOf<const Value extends string | number> (...values: Value[]) {
  return Type.Unsafe<Open<Value>>({ type: typeof values[0] === 'string' ? 'string' : 'integer', examples: values })
}

export const yesNo = oneOf('Y', 'N')

/** `data.FIELDS`, where most events keep what they have. */
export const fields = <T extends TProperties>(properties: T) => Type.Object({ FIELDS: Type.Object(properties) })
export const fieldsId = fields({ ID: int })
