import { hash } from 'node:crypto'

/** Names of the Redis keys of one app. All carry one hash tag, so that a Cluster keeps them in one slot. */
export interface AppKeys {
  /** Record of one portal. */
  install (memberId: string): string
  /** Sorted set of every `memberId`, for walks. */
  installs: string
}

/** Short digest of a `client_id` (16 hex characters): safe in a key and as the name of a folder on any file system. */
export function appId (clientId: string): string {
  return hash('sha256', clientId).slice(0, 16)
}

/** Builds the keys of an app; no other place does. `app` is an `appId()`. */
export function appKeys (app: string): AppKeys {
  const tag = `b24:{${app}}`
  return {
    install: (memberId) => `${tag}:install:${memberId}`,
    installs: `${tag}:installs`
  }
}
