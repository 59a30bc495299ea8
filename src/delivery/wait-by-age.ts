/** How long an event waits that can only be tried again later: as long as it has waited already, within two times; ms. */
export function waitByAge (receivedAt: number, leastMs: number, mostMs: number): number {
  return Math.min(Math.max(Date.now() - receivedAt, leastMs), mostMs)
}
