import { digestOfSent } from '../installs/application-token.ts'
import type { PendingInstall } from '../storage/pending-installs.ts'
import type { TokenDigest } from '../installs/install.ts'
import type { InstallFact } from '../installs/install-transitions.ts'
import type { Envelope } from '../wire/envelope.ts'

/** What was posted: the body, the digest of its `application_token`, and the IP address it came from. */
export interface Post {
  envelope: Envelope
  token: TokenDigest | undefined
  ip: string
  /** What was proved already: the post is that of an install page, and its event is told to nobody. */
  facts?: InstallFact[]
}

export function postOf (envelope: Envelope, ip: string): Post {
  return { envelope, token: digestOfSent(envelope.auth.application_token), ip }
}

/** What a post says of its portal, be it true or not. */
export function pendingInstallOf ({ envelope, token = '' }: Post): PendingInstall {
  return { memberId: envelope.auth.member_id, token }
}
