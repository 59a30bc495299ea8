// Far above any genuine body and far below what hurts: the deepest documented one has 5 levels, the widest some hundred
// fields, the longest key some 60 characters. Bitrix24 states no maximum.

/** Levels of maps and lists, the body itself included. */
export const MAX_DEPTH = 16
/** Values in one body. */
export const MAX_FIELDS = 1000
/** Characters of a key as it is sent: in a form that is the whole key with its brackets and escapes. */
export const MAX_KEY_LENGTH = 1024
