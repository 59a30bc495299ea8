import type { Portal } from '../../portal/portal.ts'

/** What an own install page is told. */
export interface InstallPageFacts {
  /**
   * - `installing`: the app is stored and subscribed; the page must call `BX24.installFinish()`, without which Bitrix24 sends nothing
   * - `installed`: the app was opened where it is installed; nothing is to be called
   * - `error`: see `error`
   */
  status: 'installing' | 'installed' | 'error'
  /** The portal where the app is stored; `undefined` where an error keeps it from that. */
  portal: Portal | undefined
  /** Language of the portal's page as it names it, such as `ru`; `en` where it names none. */
  lang: string
  /** For `<script nonce>` and `<style nonce>`: no other is run. */
  nonce: string
  /** Where `BX24` comes from. */
  bx24Url: string
  /** What went wrong: our code, such as `FST_B24_NOT_ADMIN`, and the status that is answered. */
  error?: { code: string, statusCode: number } | undefined
}

export interface InstallPageOptions {
  /**
   * Writes an own page; `undefined`: the plugin's own is shown.
   * @default the plugin's own, in English or Russian
   */
  html?: ((facts: InstallPageFacts) => string | undefined | Promise<string | undefined>) | undefined
  /**
   * Script that gives pages `BX24`; the simulator's portals have one at `bx24Url`.
   * @default 'https://api.bitrix24.com/api/v1/'
   */
  bx24Url?: string | undefined
}

export const BX24_URL = 'https://api.bitrix24.com/api/v1/'
