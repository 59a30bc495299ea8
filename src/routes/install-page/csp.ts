import type { FastifyReply } from 'fastify'

export interface PageHeaderOptions {
  nonce: string
  /** Origin of the page that may embed this one; `undefined`: none. */
  ancestor: string | undefined
  /** A custom page of the app may load images, styles and scripts from its server, and send requests to it and to the portal. */
  isOwn: boolean
}

/** Origins that are safe to include in a policy. */
const ORIGIN = /^https?:\/\/([a-z0-9.-]+|\[[0-9a-f:.]+\])(:\d+)?$/

/** Sets the headers of a page that a portal embeds, replacing those the host sets for its own pages. */
export function setPageHeaders (reply: FastifyReply, { nonce, ancestor, isOwn }: PageHeaderOptions): void {
  const source = `'nonce-${nonce}'`
  const own = `script-src 'self' ${source}; style-src 'self' ${source}; img-src 'self' data:; font-src 'self'; connect-src 'self' ${ancestor ?? ''}; form-action 'self'`
  const ours = `script-src ${source}; style-src ${source}; form-action 'none'`
  // Replaced by the policy: this header can only allow the same origin.
  reply.removeHeader('x-frame-options').raw.removeHeader('x-frame-options')
  reply.type('text/html; charset=utf-8').headers({
    'content-security-policy': `default-src 'none'; ${isOwn ? own : ours}; base-uri 'none'; frame-ancestors ${ancestor ?? "'none'"}`,
    'cache-control': 'no-store',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    'x-robots-tag': 'noindex'
  })
}

/** Returns the origin of a URL, or `undefined` if it is not safe in a policy. */
export function originOf (url: unknown): string | undefined {
  if (typeof url !== 'string' || !URL.canParse(url)) return undefined
  const { origin } = new URL(url)
  return ORIGIN.test(origin) ? origin : undefined
}
