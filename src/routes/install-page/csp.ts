import type { FastifyReply } from 'fastify'

export interface PageHeaderOptions {
  nonce: string
  /** Origin of the page that may have this one in a frame; `undefined`: none. */
  ancestor: string | undefined
  /** An own page may have images, styles and scripts of its server, and talk to that and to the portal. */
  isOwn: boolean
}

/** Nothing else of an origin may stand in a policy. */
const ORIGIN = /^https?:\/\/([a-z0-9.-]+|\[[0-9a-f:.]+\])(:\d+)?$/

/** Sets the headers of a page that a portal has in a frame, in place of what the host sets for its own pages. */
export function setPageHeaders (reply: FastifyReply, { nonce, ancestor, isOwn }: PageHeaderOptions): void {
  const source = `'nonce-${nonce}'`
  const own = `script-src 'self' ${source}; style-src 'self' ${source}; img-src 'self' data:; font-src 'self'; connect-src 'self' ${ancestor ?? ''}; form-action 'self'`
  const ours = `script-src ${source}; style-src ${source}; form-action 'none'`
  // The policy takes its place; this header knows no other origin than one's own.
  reply.removeHeader('x-frame-options').raw.removeHeader('x-frame-options')
  reply.type('text/html; charset=utf-8').headers({
    'content-security-policy': `default-src 'none'; ${isOwn ? own : ours}; base-uri 'none'; frame-ancestors ${ancestor ?? "'none'"}`,
    'cache-control': 'no-store',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    'x-robots-tag': 'noindex'
  })
}

/** The origin of a URL, where a policy may name it. */
export function originOf (url: unknown): string | undefined {
  if (typeof url !== 'string' || !URL.canParse(url)) return undefined
  const { origin } = new URL(url)
  return ORIGIN.test(origin) ? origin : undefined
}
