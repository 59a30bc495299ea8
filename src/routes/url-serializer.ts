import type { FastifyBaseLogger, FastifyRequest } from 'fastify'
import { redact } from '../wire/redact.ts'

type Serializer = (value: never) => unknown

const SERIALIZERS = Symbol.for('pino.serializers')

/** Where a host's serializer may put what stands in the query. */
const QUERY_FIELDS = ['query', 'querystring', 'search', 'searchParams']

/**
 * Serializers for the log of the plugin's routes: `req` as the host writes it, without the query and without credentials. Bitrix24
 * names the session of a page there, `APP_SID`, and users paste addresses with secrets.
 *
 * @param own serializers that the plugin was registered with
 */
export function withoutQuery (log: FastifyBaseLogger, own: Record<string, Serializer> = {}): Record<'req', (request: FastifyRequest) => unknown> {
  const { req } = { ...(log as { [SERIALIZERS]?: Record<string, Serializer> })[SERIALIZERS], ...own }
  return {
    req: (request) => {
      const written = req?.(request as never)
      if (typeof written === 'string' && !written.includes('?')) return written
      if (typeof written !== 'object' || written === null || !('url' in written)) return { method: request.method, url: pathOf(request.url) }
      const kept: Record<string, unknown> = {}
      for (const [key, value] of Object.entries(written)) {
        if (!QUERY_FIELDS.includes(key)) kept[key] = typeof value === 'string' && /url|path$/i.test(key) ? pathOf(value) : value
      }
      return redact(kept)
    }
  }
}

function pathOf (url: string): string {
  return url.replace(/[?#].*$/s, '')
}
