import type { PairRejectReason } from '../oauth/verify.ts'

/** Why a post was refused. Stands in logs and in `onReject`; an event is answered the same 403 for all. */
export type RejectReason = PairRejectReason | 'unknown_portal' | 'wrong_token' | 'uninstalled' | 'no_tokens' | 'private_address' | 'too_large' | 'not_admin'
