import type { Install, InstallState } from '../installs/install.ts'

/** What a handler may know of the portal that an event comes from; holds no secret. */
export interface Portal {
  /** Bitrix24's stable identity of the portal; survives renames. */
  readonly memberId: string
  /** Host of the portal, as the OAuth server names it; as the event names it for a portal known only by a webhook. */
  readonly domain: string
  /** `webhook` for a portal that is known only by an outgoing webhook (option `webhooks`). */
  readonly state: InstallState | 'webhook'
  /** REST base of the portal, ends with `/rest/`; `undefined` where only a webhook is known. */
  readonly clientEndpoint: string | undefined
  /** What the app may do on this portal, such as `crm`. */
  readonly scope: readonly string[]
  /** `L` local, `F` free, `S` subscription, `D` demo, `T` trial, `P` paid; others may come. */
  readonly status: string | undefined
  /** Version of the app that the portal runs. */
  readonly version: string | undefined
  /** Portal user who installed the app. */
  readonly userId: number | undefined
  /** First verified install, ms since the epoch. */
  readonly installedAt: number | undefined
}

/** The portal of an install. */
export function portalOf (install: Install): Portal {
  return new KnownPortal(install.memberId, install.domain, install.state, install)
}

/** A portal of which no more is known than that its owner set up an outgoing webhook. */
export function webhookPortal (memberId: string, domain: string): Portal {
  return new KnownPortal(memberId, domain, 'webhook')
}

class KnownPortal implements Portal {
  readonly memberId: string
  readonly domain: string
  readonly state: Portal['state']
  readonly #install: Install | undefined

  constructor (memberId: string, domain: string, state: Portal['state'], install?: Install) {
    this.memberId = memberId
    this.domain = domain
    this.state = state
    this.#install = install
  }

  get clientEndpoint (): string | undefined {
    return this.#install?.clientEndpoint
  }

  get scope (): readonly string[] {
    return this.#install?.scope ?? []
  }

  get status (): string | undefined {
    return this.#install?.status
  }

  get version (): string | undefined {
    return this.#install?.version
  }

  get userId (): number | undefined {
    return this.#install?.installer?.userId
  }

  get installedAt (): number | undefined {
    return this.#install?.installedAt
  }

  /** What stands in a log. */
  toJSON (): object {
    const { memberId, domain, state, scope, status, version } = this
    return { memberId, domain, state, scope, status, version }
  }
}
