/** Takes what became of a portal while the app acted on it. Nobody waits for it, and it fails nobody: each method returns at once. */
export interface PortalNews {
  /** No token of the portal is good any more; told once. */
  reauthRequired (memberId: string): void
  renamed (memberId: string, from: string, to: string): void
  /** The portal must pay, or is gone, as the OAuth server or the portal says; told once, until it is back. */
  suspended (memberId: string): void
}
