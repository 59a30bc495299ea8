import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { chromium, type BrowserContext, type Page } from 'playwright-core'
import type { Test } from 'tap'
import { temporaryFolder } from './app.ts'

const BINARY = '/usr/bin/chromium'
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

/** Starts Debian's Chromium with nothing in it; it ends with the test. Installs the package where that can be done. */
export async function openChromium (t: Test): Promise<Browser> {
  if (!existsSync(BINARY)) install()
  const context = await chromium.launchPersistentContext(temporaryFolder(t), { executablePath: BINARY, args: FLAGS, viewport: { width: 1100, height: 760 } })
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

function install (): void {
  if (process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')) {
    for (const action of [['update'], ['install', '-y', '--no-install-recommends', 'chromium']]) {
      spawnSync('apt-get', ['-qq', ...action], { stdio: 'ignore', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } })
    }
  }
  if (!existsSync(BINARY)) throw new Error(`There is no ${BINARY}: install Debian's package chromium (apt-get install chromium)`)
}
