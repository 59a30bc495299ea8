// What every object of JavaScript inherits, and `prototype`. No genuine body has them; a body that does is after a merge or a
// lookup further on, in the app or in what stores the event, where the maps have prototypes again.
const REFUSED = new Set([
  '__proto__',
  'prototype',
  'constructor',
  'hasOwnProperty',
  'isPrototypeOf',
  'propertyIsEnumerable',
  'toLocaleString',
  'toString',
  'valueOf',
  '__defineGetter__',
  '__defineSetter__',
  '__lookupGetter__',
  '__lookupSetter__'
])

// Most keys have another length than all of these, which is cheaper to see than that they are not in the set.
let lengths = 0
for (const key of REFUSED) lengths |= 1 << key.length

/** Tells whether a decoded key is one that a body must not have at any level. */
export function isPrototypeKey (key: string): boolean {
  return (lengths & 1 << key.length) !== 0 && REFUSED.has(key)
}
