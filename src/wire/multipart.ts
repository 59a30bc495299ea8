import { Busboy } from '@fastify/busboy'
import { FST_B24_FORM_KEY, FST_B24_FORM_LIMIT } from '../errors.ts'
import { decodeForm } from './form.ts'
import { MAX_FIELDS } from './limits.ts'
import type { WireMap } from './value.ts'

/**
 * Decodes a `multipart/form-data` body into what `decodeForm` makes of the same fields. The form of a page has no file.
 *
 * @throws FST_B24_FORM_LIMIT, FST_B24_FORM_KEY
 */
export async function decodeMultipart (contentType: string, body: Buffer): Promise<WireMap> {
  return decodeForm((await fieldsOf(contentType, body)).join('&'))
}

function fieldsOf (contentType: string, body: Buffer): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const fields: string[] = []
    const refuse = (): void => reject(new FST_B24_FORM_KEY('a part that is no field'))
    const limit = (): void => reject(new FST_B24_FORM_LIMIT('fields'))
    const parser = parserOf(contentType, body.length)
    if (parser === undefined) return refuse()
    parser.on('field', (name: string | undefined, value: string) => fields.push(`${encodeURIComponent(name ?? '')}=${encodeURIComponent(value)}`))
    parser.on('filesLimit', refuse).on('fieldsLimit', limit).on('partsLimit', limit)
    parser.on('error', refuse).on('finish', () => resolve(fields))
    parser.end(body)
  })
}

/** `undefined` where the header has no boundary. */
function parserOf (contentType: string, length: number) {
  try {
    const limits = { fields: MAX_FIELDS, fieldSize: length + 1, files: 0, parts: MAX_FIELDS + 1, headerPairs: 10 }
    return new Busboy({ headers: { 'content-type': contentType }, limits })
  } catch {
    return undefined
  }
}
