import { randomBytes } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { installPageHtml, NO_DETAILS, type PageDetails } from './install-page-html.ts'
import { BX24_URL, type InstallPageFacts, type InstallPageOptions } from './install-page-options.ts'
import { originOf, setPageHeaders } from './page-headers.ts'

/** What is to be shown. */
export type PageContent = Pick<InstallPageFacts, 'status' | 'error'> & {
  portal?: InstallPageFacts['portal']
  /** REST base of the portal, as the OAuth server names it; missing where nothing proves the portal. */
  clientEndpoint?: string | undefined
  details?: PageDetails
}

/** Shows pages in the frame that a portal has of the app: the plugin's own, or those of the option `installPage.html`. */
export class FramePage {
  readonly #options: InstallPageOptions

  constructor (options: InstallPageOptions) {
    this.#options = options
  }

  async show (content: PageContent, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { status, portal, error, clientEndpoint, details = NO_DETAILS } = content
    const { bx24Url = BX24_URL } = this.#options
    const nonce = randomBytes(16).toString('base64url')
    const facts: InstallPageFacts = { status, portal, lang: langOf(request), nonce, bx24Url, ...(error !== undefined && { error }) }
    const own = await this.#own(facts, request)
    setPageHeaders(reply, { nonce, isOwn: own !== undefined, ancestor: clientEndpoint === undefined ? claimedOrigin(request) : originOf(clientEndpoint) })
    return reply.code(error?.statusCode ?? 200).send(own ?? installPageHtml(facts, details))
  }

  async #own (facts: InstallPageFacts, { log }: FastifyRequest): Promise<string | undefined> {
    try {
      return await this.#options.html?.(facts)
    } catch (error) {
      log.error({ err: error }, 'installPage.html failed')
      return undefined
    }
  }
}

/** Tells a browser that posts the form of a page from whatever else posts to the same URL, where the body does not. */
export function isFromBrowser ({ headers, query }: FastifyRequest): boolean {
  return (query as Record<string, unknown>)['DOMAIN'] !== undefined || headers.accept?.includes('text/html') === true
}

/**
 * The page that says to be around this one. What nothing proves is let into its frame all the same, for it shows no more than
 * an error, with nothing in it to be clicked; and without that its user would see nothing.
 */
function claimedOrigin ({ headers, query }: FastifyRequest): string | undefined {
  const { DOMAIN, PROTOCOL } = query as Record<string, unknown>
  return originOf(headers.origin) ?? originOf(`${PROTOCOL === '0' ? 'http' : 'https'}://${String(DOMAIN)}`)
}

function langOf ({ query }: FastifyRequest): string {
  const { LANG } = query as Record<string, unknown>
  return typeof LANG === 'string' && /^[a-z]{2}(_[a-z]{2})?$/i.test(LANG) ? LANG.toLowerCase() : 'en'
}
