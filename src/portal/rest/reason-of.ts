/** Why a portal could not be worked on. */
export interface Reason {
  /** Bitrix24's own where it has one. */
  code: string
  message: string
}

export function reasonOf (error: unknown): Reason {
  const { portalCode = '', code = 'FST_B24_INTERNAL', message } = error as { portalCode?: string, code?: string, message?: string }
  // Bitrix24's default code is empty.
  return { code: portalCode === '' ? code : portalCode, message: String(message) }
}
