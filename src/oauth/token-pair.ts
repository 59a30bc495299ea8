/** An OAuth pair of one portal user. Secret: kept sealed, never logged. */
export interface TokenPair {
  accessToken: string
  refreshToken: string
  /** End of the access token, ms since the epoch. */
  expiresAt: number
}
