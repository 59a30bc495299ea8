import type { FastifyInstance } from 'fastify'
import type { FrameForm } from './portal/frame.ts'
import type { SimulatedPortal } from './portal/portal.ts'

interface Place {
  Params: { domain: string }
  Querystring: { user?: string, lang?: string, APP_SID?: string }
}

/**
 * Adds the pages of a portal for a browser: `/portals/<domain>/marketplace/app/?user=2&lang=ru`, which has the app in a frame, and the
 * script for embedded pages at `/portals/<domain>/bx24.js`.
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
    return await reply.send(portalPage(portal.domain, form, `finish?APP_SID=${appSid}`))
  })
  scope.post<Place>(`${portals}/marketplace/app/finish`, async ({ params, query }, reply) => {
    const user = find(params.domain)?.userOfFrame(query.APP_SID ?? '')
    if (user?.admin !== true) return await reply.code(403).send()
    find(params.domain)?.finishInstall(user.id).catch(() => {})
    return await reply.code(204).send()
  })
}

/**
 * Renders the portal's page that embeds an app. On `installFinish` it notifies the simulator and reloads.
 *
 * @param title heading above the frame
 * @param finishUrl URL that finishes the install
 */
export function portalPage (title: string, form: FrameForm, finishUrl: string): string {
  const fields = Object.entries(form.fields).map(([name, value]) => `<input type="hidden" name="${escape(name)}" value="${escape(value)}">`)
  return page(title, `
<form method="post" target="app" action="${escape(form.url)}">${fields.join('')}</form>
<iframe name="app" title="App"></iframe>
<script>
const frame = document.querySelector('iframe')
addEventListener('message', async ({ source, data }) => {
  if (source !== frame.contentWindow || !String(data).startsWith('setInstallFinish:')) return
  await fetch(${JSON.stringify(finishUrl)}, { method: 'POST' })
  location.reload()
})
document.querySelector('form').submit()
</script>`)
}

/** Renders the page of a user without admin rights before the install is finished. */
export function waitingPage (title: string): string {
  return page(title, '<p>The application is not installed yet. Please contact your Bitrix24 administrator.</p>')
}

function page (title: string, content: string): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>${escape(title)}</title>
<style>
body { margin: 0; font: 16px sans-serif; background: #eef2f4 }
h1 { margin: 0; padding: 12px 20px; font-size: 16px; color: #fff; background: #2f81b7 }
p { padding: 0 20px }
iframe { display: block; width: calc(100% - 40px); height: 600px; margin: 20px; border: 0; background: #fff }
</style>
<h1>${escape(title)}</h1>${content}
</html>
`
}

/** Replacement for Bitrix24's script for embedded pages. */
export const BX24_SCRIPT = `(() => {
  const query = new URLSearchParams(location.search)
  const whenReady = run => document.readyState === 'loading' ? addEventListener('DOMContentLoaded', run) : run()
  const say = command => parent.postMessage(command + '::' + (query.get('APP_SID') || ''), '*')
  window.BX24 = {
    init: whenReady,
    ready: whenReady,
    install: whenReady,
    installFinish: () => say('setInstallFinish'),
    getDomain: () => query.get('DOMAIN'),
    getLang: () => query.get('LANG'),
    fitWindow: () => {},
    resizeWindow: () => {}
  }
})()
`

function escape (text: string): string {
  return text.replace(/[&<>"]/g, mark => `&#${mark.charCodeAt(0)};`)
}
