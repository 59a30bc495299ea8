import type { FastifyInstance } from 'fastify'
import { BX24_SCRIPT, framePage, waitingPage } from './frame-page.ts'
import type { SimulatedPortal } from '../portal/portal.ts'

interface Place {
  Params: { domain: string }
  Querystring: { user?: string, lang?: string, APP_SID?: string }
}

/**
 * Adds what a user's browser sees of a portal: `/portals/<domain>/marketplace/app/?user=2&lang=ru`, where the app is in a
 * frame, and the script for the pages in it at `/portals/<domain>/bx24.js`.
 */
export async function addFrameRoutes (scope: FastifyInstance, { find }: { find: (domain: string) => SimulatedPortal | undefined }): Promise<void> {
  const portals = '/portals/:domain'
  scope.get<Place>(`${portals}/bx24.js`, async (_request, reply) => await reply.type('text/javascript').send(BX24_SCRIPT))
  scope.get<Place>(`${portals}/marketplace/app/`, async ({ params, query }, reply) => {
    reply.type('text/html; charset=utf-8').header('cache-control', 'no-store')
    const portal = find(params.domain)
    const url = portal?.pageUrl
    if (portal === undefined || url === undefined) return await reply.code(404).send('<h1>Not found</h1>')
    const { user = '1', lang = 'en' } = query
    if (!portal.installed && !portal.user(Number(user)).admin) return await reply.send(waitingPage(portal.domain))
    const form = portal.frameForm(url, { user: Number(user), lang })
    const appSid = new URL(form.url).searchParams.get('APP_SID')
    return await reply.send(framePage(portal.domain, form, `finish?APP_SID=${appSid}`))
  })
  scope.post<Place>(`${portals}/marketplace/app/finish`, async ({ params, query }, reply) => {
    const user = find(params.domain)?.userOfFrame(query.APP_SID ?? '')
    if (user?.admin !== true) return await reply.code(403).send()
    find(params.domain)?.finishInstall(user.id).catch(() => {})
    return await reply.code(204).send()
  })
}
