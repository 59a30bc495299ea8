import type { FrameForm } from '../portal/frame.ts'

/**
 * The portal's page around an app. When the app says `installFinish`, it tells the simulator and loads itself anew.
 *
 * @param title what stands above the frame
 * @param finishUrl where the simulator learns that the install is finished
 */
export function framePage (title: string, form: FrameForm, finishUrl: string): string {
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

/** What an ordinary user sees while the install is not finished. */
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

/** Stands in for the script that Bitrix24 gives to the pages in its frames. */
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
