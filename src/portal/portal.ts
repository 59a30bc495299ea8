import type { Install, InstallState } from '../installs/install.ts'

/** What a handler may know of the portal that an event comes from; holds no secret. */
export class Portal {
  /** Bitrix24's stable identity of the portal; survives renames. */
  readonly memberId: string
  /** Host of the portal, as the OAuth server names it. */
  readonly domain: string
  /** `webhook` for a portal that is known only by an outgoing webhook (option `webhooks`). */
  readonly state: InstallState | 'webhook'
  readonly #install: Install | undefined

  constructor (memberId: string, domain: string, install?: Install) {
    this.memberId = memberId
    this.domain = domain
    this.state = install?.state ?? 'webhook'
    this.#install = install
  }

  /** REST base of the portal, ends with `/rest/`. */
  get clientEndpoint (): string | undefined {
    return this.#install?.clientEndpoint
  }

  /** What the app may do on this portal, such as `crm`. */
  get scope (): readonly string[] {
    return this.#install?.scope ?? []
  }

  /** `L` local, `F` free, `S` subscription, `D` demo, `T` trial, `P` paid; others may come. */
  get status (): string | undefined {
    return this.#install?.status
  }

  /** Version of the app that the portal runs. */
  get version (): string | undefined {
    return this.#install?.version
  }

  /** Portal user who installed the app. */
  get userId (): number | undefined {
    return this.#install?.installer?.userId
  }

  /** First verified install, ms since the epoch. */
  get installedAt (): number | undefined {
    return this.#install?.installedAt
  }

  toJSON (): object {
    const { memberId, domain, state, scope, status, version } = this
    return { memberId, domain, state, scope, status, version }
  }
}

export function portalOf (install: Install): Portal {
  return new Portal(install.memberId, install.domain, install)
}
