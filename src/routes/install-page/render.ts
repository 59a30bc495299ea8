import type { InstallPageFacts } from './options.ts'
import { errorText, textsOf, type PageTexts } from './texts.ts'

export interface PageDetails {
  /** The app subscribes portals, and this one is subscribed. */
  isSubscribed: boolean
  /** Events that the portal refused to subscribe. */
  refused: readonly string[]
}

export const NO_DETAILS: PageDetails = { isSubscribed: false, refused: [] }

const STYLE = `
:root { color-scheme: light }
*, ::before, ::after { box-sizing: border-box }
body { margin: 0; padding: 48px 24px; background: #fff; color: #333; font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif }
main { max-width: 560px; margin: 0 auto }
h1 { display: flex; gap: 14px; align-items: center; margin: 0 0 24px; font-size: 24px; font-weight: 600; line-height: 1.25 }
h1 svg { flex: none; width: 40px; height: 40px }
p { margin: 0 0 16px }
ul { margin: 0 0 24px; padding: 0; list-style: none }
li { position: relative; padding: 7px 0 7px 32px }
li::before { content: ""; position: absolute; left: 3px; top: 11px; width: 16px; height: 16px; border-radius: 50%; background: #7bb31b }
li::after { content: ""; position: absolute; left: 8px; top: 14px; width: 6px; height: 9px; border: solid #fff; border-width: 0 2px 2px 0; transform: rotate(45deg) }
li.note { color: #80868e }
li.note::before { background: #f0a020 }
li.note::after { left: 10px; top: 15px; width: 2px; height: 8px; border: 0; background: #fff; transform: none }
li.doing::before { background: none; border: 2px solid #d5dae0; border-top-color: #2fc6f6; animation: turn 1s linear infinite }
li.doing::after { display: none }
small { display: block; padding-top: 16px; border-top: 1px solid #e6e9ec; color: #80868e; font-size: 13px; overflow-wrap: anywhere }
[data-state=installing] .when-installed, [data-state=installing] .when-stuck, [data-state=installed] .when-installing, [data-state=installed] .when-stuck,
[data-state=stuck] .when-installing, [data-state=stuck] .when-installed { display: none }
@keyframes turn { to { transform: rotate(360deg) } }
@media (prefers-reduced-motion: reduce) { li.doing::before { animation-duration: 4s } }
`

// Handles every failure of Bitrix24's script: not loaded, no response, exception.
const SCRIPT = `
{
  const main = document.querySelector('main')
  const show = state => { main.dataset.state = state }
  const late = setTimeout(() => show('stuck'), 15000)
  try {
    BX24.init(() => {
      clearTimeout(late)
      BX24.installFinish()
      show('installed')
    })
  } catch {
    clearTimeout(late)
    show('stuck')
  }
}
`

const ICONS = {
  busy: '<circle cx="20" cy="20" r="19" fill="#e8f8fe"/><path d="M20 10v13m-5-5 5 5 5-5M12 29h16" fill="none" stroke="#2fc6f6" stroke-width="2.5" stroke-linecap="round" stroke-linejoin="round"/>',
  done: '<circle cx="20" cy="20" r="19" fill="#eef7dd"/><path d="m12 21 6 6 11-13" fill="none" stroke="#7bb31b" stroke-width="3" stroke-linecap="round" stroke-linejoin="round"/>',
  stop: '<circle cx="20" cy="20" r="19" fill="#fdf1dd"/><path d="M20 11v11" stroke="#f0a020" stroke-width="3.5" stroke-linecap="round"/><circle cx="20" cy="28" r="2.2" fill="#f0a020"/>'
}

/** Renders the plugin's install page. */
export function renderInstallPage (facts: InstallPageFacts, details: PageDetails): string {
  const { code, texts } = textsOf(facts.lang)
  const { status, nonce, bx24Url } = facts
  const title = status === 'error' ? errorText(texts, facts).title : texts[status]
  const scripts = status !== 'installing' ? '' : `<script nonce="${nonce}" src="${escapeHtml(bx24Url)}"></script>\n<script nonce="${nonce}">${SCRIPT}</script>\n`
  return `<!doctype html>
<html lang="${code}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style nonce="${nonce}">${STYLE}</style>
<main data-state="${status}">
${renderContent(facts, details, texts)}
</main>
${scripts}</html>
`
}

function renderContent (facts: InstallPageFacts, details: PageDetails, texts: PageTexts): string {
  switch (facts.status) {
    case 'installing': return progress(facts, details, texts)
    case 'installed': return `${heading('done', texts.installed)}\n<p>${escapeHtml(texts.close)}</p>`
    case 'error': return problem(facts, texts)
  }
}

function progress ({ portal }: InstallPageFacts, { isSubscribed, refused }: PageDetails, texts: PageTexts): string {
  const steps = [
    step(texts.confirmed),
    step(texts.stored(portal?.domain as string)),
    ...isSubscribed ? [step(texts.subscribed)] : [],
    ...refused.length > 0 ? [step(texts.refused(refused.join(', ')), 'note')] : []
  ]
  return `<div role="status">
${heading('busy', texts.installing, 'when-installing')}
${heading('done', texts.installed, 'when-installed')}
${heading('stop', texts.stuck.title, 'when-stuck')}
<ul>
${steps.join('\n')}
${step(texts.finishing, 'doing when-installing')}
${step(texts.finished, 'when-installed')}
</ul>
<p class="when-installed">${escapeHtml(texts.close)}</p>
<p class="when-stuck">${escapeHtml(texts.stuck.advice)}</p>
</div>
<noscript><p>${escapeHtml(texts.noScript)}</p></noscript>`
}

function problem (facts: InstallPageFacts, texts: PageTexts): string {
  const { title, advice } = errorText(texts, facts)
  return `${heading('stop', title)}\n<p>${escapeHtml(advice)}</p>\n<small>${facts.error?.statusCode} ${escapeHtml(String(facts.error?.code))}</small>`
}

function heading (icon: keyof typeof ICONS, text: string, className = ''): string {
  return `<h1${classOf(className)}><svg viewBox="0 0 40 40" aria-hidden="true">${ICONS[icon]}</svg>${escapeHtml(text)}</h1>`
}

function step (text: string, className = ''): string {
  return `<li${classOf(className)}>${escapeHtml(text)}</li>`
}

function classOf (name: string): string {
  return name === '' ? '' : ` class="${name}"`
}

function escapeHtml (text: string): string {
  return text.replace(/[&<>"']/g, mark => `&#${mark.charCodeAt(0)};`)
}
