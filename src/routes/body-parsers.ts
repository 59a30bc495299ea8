import formbody from '@fastify/formbody'
import type { FastifyInstance } from 'fastify'
import { decodeForm } from '../wire/form.ts'
import { decodeJson } from '../wire/json.ts'

/**
 * Reads forms as PHP writes them, and JSON of the same shape; nothing else. The host's parsers stay as they are.
 *
 * @param bodyLimit largest body, in bytes; a route must have no limit of its own, for that would be the one that counts
 */
export async function useBodyParsers (scope: FastifyInstance, bodyLimit: number): Promise<void> {
  // Removed first: formbody throws where the host has it already, and the host's parser would read brackets flat.
  scope.removeAllContentTypeParsers()
  await scope.register(formbody, { parser: decodeForm, bodyLimit })
  scope.addContentTypeParser('application/json', { parseAs: 'string', bodyLimit }, async (_request: unknown, body: string) => decodeJson(body))
}
