import { randomBytes } from 'node:crypto'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest, RouteShorthandOptions } from 'fastify'
import type { InstallFromPage } from '../../delivery/install-from-page.ts'
import type { Rejection } from '../../delivery/receive-outcome.ts'
import { FST_B24_ENVELOPE, FST_B24_FORBIDDEN, FST_B24_FORM_LIMIT, FST_B24_NOT_ADMIN, FST_B24_PORTAL_SUSPENDED } from '../../errors.ts'
import type { Portal } from '../../portal/portal.ts'
import { isPageRequest, MAX_PAGE_BYTES, readPageRequest } from '../../wire/non-events.ts'
import { validateEnvelope } from '../body-parsers.ts'
import { sendError, logError } from '../responses.ts'
import { originOf, setPageHeaders } from './csp.ts'
import { BX24_URL, type InstallPageFacts, type InstallPageOptions } from './options.ts'
import { renderInstallPage, NO_DETAILS, type PageDetails } from './render.ts'

/** Result of subscribing a portal, as far as its user sees it. */
export interface SubscribeReport {
  refused: ReadonlyArray<{ event: string }>
  error?: { code: string } | undefined
}

export interface InstallPageParts {
  pages: Pick<InstallFromPage, 'take'>
  options: InstallPageOptions
  /** Subscribes the portal to the events of the app's handlers, or reports why not; absent if the app does not subscribe. */
  afterInstall?: ((memberId: string, signal: AbortSignal) => Promise<SubscribeReport | undefined>) | undefined
}

export type RouteDefinition = RouteShorthandOptions & { url: string }

export interface InstallPageRoutes {
  page: InstallPageParts
  /** Event routes at the same path, one for each of its variants. */
  routes: RouteDefinition[]
  receive: (request: FastifyRequest) => Promise<object>
}

const NOT_SUBSCRIBED = 'failed to subscribe portal'
/** Maximum time for subscribing, ms: a user is waiting. */
const SUBSCRIBE_MS = 45_000

/** Adds `POST /install`: for events, and for the form that a user's browser posts into the frame of the app. */
export async function installPageRoutes (scope: FastifyInstance, { page, routes, receive }: InstallPageRoutes): Promise<void> {
  const frame = new PageRenderer(page.options)
  scope.addContentTypeParser('multipart/form-data', { parseAs: 'buffer', bodyLimit: MAX_PAGE_BYTES }, async (request: FastifyRequest, body: Buffer) => {
    const { decodeMultipart } = await import('../../wire/multipart.ts')
    return await decodeMultipart(request.headers['content-type'] as string, body)
  })
  scope.setValidatorCompiler(({ httpPart }) => httpPart === 'body' ? body => isPageRequest(body) || validateEnvelope(body) : () => true)
  scope.setErrorHandler(async (error: FastifyError, request, reply) => {
    return isFromBrowser(request) ? await frame.send(errorContent(error, request, reply), request, reply) : sendError(error, request, reply)
  })
  const show = async (request: FastifyRequest, reply: FastifyReply): Promise<object> => {
    if (!isPageRequest(request.body)) return await receive(request)
    return await frame.send(await handlePageRequest(request.body, page, request, reply), request, reply)
  }
  for (const { url, ...route } of routes) scope.post(url, route, show)
}

async function handlePageRequest (body: Record<string, unknown>, { pages, afterInstall }: InstallPageParts, request: FastifyRequest, reply: FastifyReply): Promise<PageContent> {
  if (Number(request.headers['content-length'] ?? JSON.stringify(body).length) > MAX_PAGE_BYTES) throw new FST_B24_FORM_LIMIT('bytes of a page')
  const pageRequest = readPageRequest(body)
  if (pageRequest === undefined) throw new FST_B24_ENVELOPE('member_id is missing')
  const outcome = await pages.take(pageRequest, request)
  if (outcome.status === 'rejected') return errorContent(errorOf(outcome, pageRequest.memberId), request, reply)
  const { clientEndpoint } = outcome
  if (outcome.status === 'not_admin') return { ...errorContent(new FST_B24_NOT_ADMIN(), request, reply), clientEndpoint }
  const { portal } = outcome
  request.portal = portal
  if (outcome.status === 'open') return { status: 'installed', portal, clientEndpoint }
  const report = await subscribe(portal, afterInstall, request)
  if (report?.error !== undefined) {
    return { status: 'error', error: { code: safeCode(report.error.code), statusCode: 503 }, portal, clientEndpoint }
  }
  const details = { isSubscribed: report !== undefined, refused: report?.refused.map(({ event }) => event) ?? [] }
  return { status: outcome.isFinished ? 'installed' : 'installing', portal, clientEndpoint, details }
}

/** Returns an error code of the portal if it is plain; a custom page may not escape other text. */
function safeCode (code: string): string {
  return /^\w{1,64}$/.test(code) ? code : 'FST_B24_PORTAL_CALL'
}

async function subscribe (portal: Portal, afterInstall: InstallPageParts['afterInstall'], { log }: FastifyRequest): Promise<SubscribeReport | undefined> {
  try {
    const report = await afterInstall?.(portal.memberId, AbortSignal.timeout(SUBSCRIBE_MS))
    if (report?.error !== undefined) log.error({ portal, reason: report.error }, NOT_SUBSCRIBED)
    return report
  } catch (error) {
    log.error({ portal, err: error }, NOT_SUBSCRIBED)
    const { code } = error as { code?: unknown }
    return { refused: [], error: { code: typeof code === 'string' ? code : 'FST_B24_PORTAL_UNAVAILABLE' } }
  }
}

/** Reveals the reason of a rejection to the user only if paying helps. */
function errorOf ({ reason }: Rejection, memberId: string): FastifyError {
  return reason === 'payment_required' ? new FST_B24_PORTAL_SUSPENDED(memberId) : new FST_B24_FORBIDDEN()
}

function errorContent (error: FastifyError, request: FastifyRequest, reply: FastifyReply): PageContent {
  const { code, statusCode } = logError(error, request, reply)
  return { status: 'error', error: { code, statusCode } }
}

/** Content of a page. */
export type PageContent = Pick<InstallPageFacts, 'status' | 'error'> & {
  portal?: InstallPageFacts['portal']
  /** REST base URL of the portal, as returned by the OAuth server; absent if the portal is unverified. */
  clientEndpoint?: string | undefined
  details?: PageDetails
}

/** Renders and sends pages that a portal embeds: the plugin's, or those of the option `installPage.html`. */
export class PageRenderer {
  readonly #options: InstallPageOptions

  constructor (options: InstallPageOptions) {
    this.#options = options
  }

  async send (content: PageContent, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { status, portal, error, clientEndpoint, details = NO_DETAILS } = content
    const { bx24Url = BX24_URL } = this.#options
    const nonce = randomBytes(16).toString('base64url')
    const facts: InstallPageFacts = { status, portal, lang: langOf(request), nonce, bx24Url, ...(error !== undefined && { error }) }
    const own = await this.#own(facts, request)
    setPageHeaders(reply, { nonce, isOwn: own !== undefined, ancestor: clientEndpoint === undefined ? claimedOrigin(request) : originOf(clientEndpoint) })
    return reply.code(error?.statusCode ?? 200).send(own ?? renderInstallPage(facts, details))
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

/** Returns whether a browser sent the request, for errors where the body is unavailable. */
export function isFromBrowser ({ headers, query }: FastifyRequest): boolean {
  return (query as Record<string, unknown>)['DOMAIN'] !== undefined || headers.accept?.includes('text/html') === true
}

/**
 * Returns the unverified origin of the embedding page. An error page without anything to click may be embedded even there, since its
 * user would otherwise see nothing.
 */
function claimedOrigin ({ headers, query }: FastifyRequest): string | undefined {
  const { DOMAIN, PROTOCOL } = query as Record<string, unknown>
  return originOf(headers.origin) ?? originOf(`${PROTOCOL === '0' ? 'http' : 'https'}://${String(DOMAIN)}`)
}

function langOf ({ query }: FastifyRequest): string {
  const { LANG } = query as Record<string, unknown>
  return typeof LANG === 'string' && /^[a-z]{2}(_[a-z]{2})?$/i.test(LANG) ? LANG.toLowerCase() : 'en'
}
