import type { Portal } from '../../portal/portal.ts'

/** Data for a custom install page. */
export interface InstallPageFacts {
  /**
   * - `installing`: the app is stored and subscribed; the page must call `BX24.installFinish()`, otherwise Bitrix24 sends no events
   * - `installed`: the app was opened on a portal where it is already installed; no call is needed
   * - `error`: see `error`
   */
  status: 'installing' | 'installed' | 'error'
  /** The portal, if the install is stored; `undefined` after an error before that. */
  portal: Portal | undefined
  /** Language code that the portal sent, such as `ru`; `en` if it sent none. */
  lang: string
  /** Nonce for `<script nonce>` and `<style nonce>`; others are blocked. */
  nonce: string
  /** URL of the script that defines `BX24`. */
  bx24Url: string
  /** Error code, such as `FST_B24_NOT_ADMIN`, and HTTP status of the response. */
  error?: { code: string, statusCode: number } | undefined
}

export interface InstallPageOptions {
  /**
   * Renders a custom page; if it returns `undefined`, the plugin's page is shown.
   * @default the plugin's page, in English or Russian
   */
  html?: ((facts: InstallPageFacts) => string | undefined | Promise<string | undefined>) | undefined
  /**
   * URL of the script that defines `BX24`; simulated portals have one at `bx24Url`.
   * @default 'https://api.bitrix24.com/api/v1/'
   */
  bx24Url?: string | undefined
}

export const BX24_URL = 'https://api.bitrix24.com/api/v1/'
