const PERCENT = 0x25
const PLUS = 0x2b
const SPACE = 0x20

// Below this length, joining slices of the text is faster than decoding bytes.
const SHORT = 256

// One shared buffer for all but the longest texts; safe because decoding is synchronous.
const shared = Buffer.allocUnsafeSlow(8192)

const ASCII = Array.from({ length: 128 }, (_, code) => String.fromCharCode(code))

/**
 * Decodes `text` from `from` to `to` as PHP's `urldecode` does: `+` is a space, invalid escapes are kept verbatim. Invalid UTF-8
 * becomes U+FFFD. Never throws.
 */
export function decodeText (text: string, from: number, to: number): string {
  const decoded = to - from < SHORT ? decodeAscii(text, from, to) : undefined
  return decoded ?? decodeBytes(text, from, to)
}

/** Returns the byte of the escape at this index, or -1 for an invalid escape. */
export function escapeAt (text: string, at: number): number {
  const high = nibble(text.charCodeAt(at + 1))
  const low = nibble(text.charCodeAt(at + 2))
  return high === -1 || low === -1 ? -1 : high << 4 | low
}

function nibble (code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const letter = code | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1
}

/** Returns `undefined` if an escape stands for a byte beyond ASCII. */
function decodeAscii (text: string, from: number, to: number): string | undefined {
  let decoded = ''
  let rest = from
  for (let at = from; at < to; at++) {
    const code = text.charCodeAt(at)
    if (code === PLUS) {
      decoded += text.slice(rest, at) + ' '
      rest = at + 1
    } else if (code === PERCENT) {
      const byte = escapeAt(text, at)
      if (byte === -1) continue
      const character = ASCII[byte]
      if (character === undefined) return undefined
      decoded += text.slice(rest, at) + character
      at += 2
      rest = at + 1
    }
  }
  return decoded + text.slice(rest, to)
}

function decodeBytes (text: string, from: number, to: number): string {
  // An unescaped character takes up to three bytes.
  const room = (to - from) * 3
  const bytes = room <= shared.length ? shared : Buffer.allocUnsafe(room)
  let length = 0
  for (let at = from; at < to; at++) {
    const code = text.charCodeAt(at)
    const byte = code === PERCENT ? escapeAt(text, at) : -1
    if (byte !== -1) {
      bytes[length++] = byte
      at += 2
    } else if (code <= 0x7f) {
      bytes[length++] = code === PLUS ? SPACE : code
    } else {
      const end = endOfRaw(text, at, to)
      length += bytes.write(text.slice(at, end), length)
      at = end - 1
    }
  }
  return bytes.toString('utf8', 0, length)
}

function endOfRaw (text: string, from: number, to: number): number {
  let end = from + 1
  while (end < to && text.charCodeAt(end) > 0x7f) end++
  return end
}
