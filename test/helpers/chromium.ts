import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { chromium, type BrowserContext, type Page } from 'playwright-core'
import type { Test } from 'tap'
import { temporaryFolder } from './app.ts'
import { findOnPath } from './find-on-path.ts'

const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']
/** Kept to be looked at. */
const ARTIFACTS = 'test/artifacts'

export interface Browser {
  context: BrowserContext
  page: Page
  /** What the pages wrote to the console as errors, and what they refused to load. */
  problems: string[]
  /** Keeps a picture of the page. */
  keep (name: string): Promise<void>
}

/** Starts Debian's Chromium with nothing in it; it ends with the test. */
export async function openChromium (t: Test): Promise<Browser> {
  const executablePath = findOnPath(['chromium'])
  if (executablePath === undefined) throw new Error('no Chromium here: `npm test` installs it, or says what to do')
  const context = await chromium.launchPersistentContext(temporaryFolder(t), { executablePath, args: FLAGS, viewport: { width: 1100, height: 760 } })
  t.teardown(() => context.close())
  const page = context.pages()[0] ?? await context.newPage()
  const problems: string[] = []
  page.on('console', message => { if (message.type() === 'error') problems.push(message.text()) })
  page.on('pageerror', error => problems.push(error.message))
  return {
    context,
    page,
    problems,
    keep: async (name) => {
      mkdirSync(ARTIFACTS, { recursive: true })
      await page.screenshot({ path: join(ARTIFACTS, `${name}.png`) })
    }
  }
}
