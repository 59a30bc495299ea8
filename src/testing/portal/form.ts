/**
 * Encodes a tree like PHP's `http_build_query($tree, '', '&')`, byte for byte, as Bitrix24 sends events. `null`, `undefined` and empty maps
 * and lists are omitted; `true` is `1`, `false` is `0`, a space is `+`.
 */
export function encodeForm (tree: unknown): string {
  const fields: string[] = []
  if (isGroup(tree)) addGroup(fields, tree, key => key)
  return fields.join('&')
}

function isGroup (value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

function addGroup (fields: string[], group: object, name: (key: string) => string): void {
  for (const [key, value] of Object.entries(group)) {
    const path = name(encodeText(key))
    if (isGroup(value)) addGroup(fields, value, inner => `${path}%5B${inner}%5D`)
    else if (value !== null && value !== undefined) fields.push(`${path}=${encodeText(scalar(value))}`)
  }
}

function scalar (value: unknown): string {
  if (typeof value === 'boolean') return value ? '1' : '0'
  return typeof value === 'number' && !Number.isSafeInteger(value) ? float(value) : String(value)
}

// PHP formats floats with 14 digits (setting `precision`), like %G in C.
function float (value: number): string {
  if (Number.isNaN(value)) return 'NAN'
  if (!Number.isFinite(value)) return value < 0 ? '-INF' : 'INF'
  const [mantissa = '', exponent = ''] = value.toExponential(13).split('e')
  const power = Number(exponent)
  if (power >= -4 && power < 14) return String(Number(value.toPrecision(14)))
  const digits = mantissa.replace(/0+$/, '')
  return `${digits.endsWith('.') ? `${digits}0` : digits}E${power < 0 ? '-' : '+'}${Math.abs(power)}`
}

function encodeText (text: string): string {
  // PHP strings are bytes and cannot contain lone surrogates; readers see U+FFFD.
  return encodeURIComponent(text.replace(/\p{Surrogate}/gu, '\ufffd'))
    .replaceAll('%20', '+')
    .replace(/[!'()*~]/g, mark => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`)
}
