import type { FastifyBaseLogger, FastifyRequest } from 'fastify'

type Serializer = (value: never) => unknown

const SERIALIZERS = Symbol.for('pino.serializers')

/**
 * Serializers for the log of a route whose query holds a secret: `req` as the host writes it, without the query. Bitrix24
 * names the session of a page there, `APP_SID`.
 */
export function withoutQuery (log: FastifyBaseLogger): Record<'req', (request: FastifyRequest) => unknown> {
  const { req } = (log as { [SERIALIZERS]?: Record<string, Serializer> })[SERIALIZERS] ?? {}
  return {
    req: (request) => {
      const written = req?.(request as never)
      if (typeof written !== 'object' || written === null || !('url' in written)) return { method: request.method, url: pathOf(request.url) }
      return { ...written, url: pathOf(String(written.url)) }
    }
  }
}

function pathOf (url: string): string {
  return url.replace(/[?#].*$/s, '')
}
