/** What a portal says of the app on it. */
export interface Installation {
  /** `false` until an app with an install page has called `installFinish`: Bitrix24 sends no event before. */
  isFinished: boolean
  version: string | undefined
  /** `L` local, `F` free, `S` subscription, `D` demo, `T` trial, `P` paid; others may come. */
  status: string | undefined
  /** The portal must pay, and sends no events. */
  isPaymentExpired: boolean
  /** Plan of the portal, such as `ru_basic`. */
  license: string | undefined
}

/**
 * Reads the answer of a portal's `app.info`.
 * @see https://github.com/bitrix-tools/b24-rest-docs/blob/main/api-reference/common/system/app-info.md
 */
export function readInstallation (result: unknown): Installation {
  const { INSTALLED, VERSION, STATUS, PAYMENT_EXPIRED, LICENSE } = (result ?? {}) as Record<string, unknown>
  return {
    isFinished: INSTALLED === true,
    version: textOf(typeof VERSION === 'number' ? String(VERSION) : VERSION),
    status: textOf(STATUS),
    isPaymentExpired: PAYMENT_EXPIRED === 'Y',
    license: textOf(LICENSE)
  }
}

function textOf (value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}
