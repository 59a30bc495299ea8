import { Busboy } from '@fastify/busboy'
import { FST_B24_FORM_KEY, FST_B24_FORM_LIMIT } from '../errors.ts'
import { decodeForm } from './form.ts'
import type { WireMap } from './form-tree.ts'

/** Fields of a page's form; documented ones have about 15. */
const MAX_PARTS = 100
/** The parser always finishes a chunk, even past a limit: so chunks are small. */
const CHUNK = 1024

/**
 * Decodes a `multipart/form-data` body to the same result as `decodeForm`. The form of a page has no files. Reading stops at the
 * first limit.
 *
 * @throws FST_B24_FORM_LIMIT for more than 100 parts, and as `decodeForm`
 * @throws FST_B24_FORM_KEY for a file or an invalid body
 */
export async function decodeMultipart (contentType: string, body: Buffer): Promise<WireMap> {
  return decodeForm((await fieldsOf(contentType, body)).join('&'))
}

function fieldsOf (contentType: string, body: Buffer): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const fields: string[] = []
    const state: { isRejected?: true } = {}
    const fail = (error: Error): void => {
      state.isRejected = true
      reject(error)
    }
    const rejectPart = (): void => fail(new FST_B24_FORM_KEY('a part that is not a field'))
    const rejectCount = (): void => fail(new FST_B24_FORM_LIMIT('fields'))
    const parser = parserOf(contentType, body.length)
    if (parser === undefined) return rejectPart()
    parser.on('field', (name: string | undefined, value: string) => fields.push(`${encodeURIComponent(name ?? '')}=${encodeURIComponent(value)}`))
    parser.on('filesLimit', rejectPart).on('fieldsLimit', rejectCount).on('partsLimit', rejectCount)
    parser.on('error', rejectPart).on('finish', () => resolve(fields))
    for (let at = 0; at < body.length && state.isRejected !== true; at += CHUNK) parser.write(body.subarray(at, at + CHUNK))
    if (state.isRejected === true) parser.destroy()
    else parser.end()
  })
}

/** Returns `undefined` if the header has no boundary. */
function parserOf (contentType: string, length: number) {
  try {
    const limits = { fields: MAX_PARTS, fieldSize: length + 1, files: 0, parts: MAX_PARTS + 1, headerPairs: 10 }
    return new Busboy({ headers: { 'content-type': contentType }, limits })
  } catch {
    return undefined
  }
}
