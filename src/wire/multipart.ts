import { Busboy } from '@fastify/busboy'
import { FST_B24_FORM_KEY, FST_B24_FORM_LIMIT } from '../errors.ts'
import { decodeForm } from './form.ts'
import type { WireMap } from './tree.ts'

/** Fields of a page's form: some 15 in the documented ones. */
const MAX_PARTS = 100
/** The parser goes on to the end of what it was given, also when a limit is over: so it is given little at once. */
const CHUNK = 1024

/**
 * Decodes a `multipart/form-data` body into what `decodeForm` makes of the same fields. The form of a page has no file. Reading
 * ends at the first limit.
 *
 * @throws FST_B24_FORM_LIMIT for more than 100 parts, and as `decodeForm`
 * @throws FST_B24_FORM_KEY for a file and for what is no form
 */
export async function decodeMultipart (contentType: string, body: Buffer): Promise<WireMap> {
  return decodeForm((await fieldsOf(contentType, body)).join('&'))
}

function fieldsOf (contentType: string, body: Buffer): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const fields: string[] = []
    const refusal: { isMade?: true } = {}
    const end = (error: Error): void => {
      refusal.isMade = true
      reject(error)
    }
    const refuse = (): void => end(new FST_B24_FORM_KEY('a part that is not a field'))
    const limit = (): void => end(new FST_B24_FORM_LIMIT('fields'))
    const parser = parserOf(contentType, body.length)
    if (parser === undefined) return refuse()
    parser.on('field', (name: string | undefined, value: string) => fields.push(`${encodeURIComponent(name ?? '')}=${encodeURIComponent(value)}`))
    parser.on('filesLimit', refuse).on('fieldsLimit', limit).on('partsLimit', limit)
    parser.on('error', refuse).on('finish', () => resolve(fields))
    for (let at = 0; at < body.length && refusal.isMade !== true; at += CHUNK) parser.write(body.subarray(at, at + CHUNK))
    if (refusal.isMade === true) parser.destroy()
    else parser.end()
  })
}

/** `undefined` where the header has no boundary. */
function parserOf (contentType: string, length: number) {
  try {
    const limits = { fields: MAX_PARTS, fieldSize: length + 1, files: 0, parts: MAX_PARTS + 1, headerPairs: 10 }
    return new Busboy({ headers: { 'content-type': contentType }, limits })
  } catch {
    return undefined
  }
}
