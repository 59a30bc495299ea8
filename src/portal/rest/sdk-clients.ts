import { loadSdk } from './sdk.ts'
import { SdkClient, type SdkClientParts } from './sdk-client.ts'
import type { OfficialClient } from './sdk-types.ts'

/** The official clients of portals, of which those are kept that were asked for last. */
export class SdkClients {
  readonly #parts: Omit<SdkClientParts, 'sdk'>
  readonly #most: number
  /** The one that was asked for last is the last. */
  readonly #clients = new Map<string, SdkClient>()

  constructor (parts: Omit<SdkClientParts, 'sdk'>, most: number) {
    this.#parts = parts
    this.#most = most
  }

  /** @throws FST_B24_SDK_MISSING, and as `Tokens.access` */
  async client (memberId: string): Promise<OfficialClient> {
    const sdk = await loadSdk()
    const access = await this.#parts.tokens.access(memberId)
    const known = this.#clients.get(memberId)
    await known?.bind(access)
    const client = known === undefined || known.isOutdated ? new SdkClient(access, { ...this.#parts, sdk }) : known
    this.#keep(memberId, client)
    return client.b24
  }

  #keep (memberId: string, client: SdkClient): void {
    this.#clients.delete(memberId)
    this.#clients.set(memberId, client)
    const [oldest] = this.#clients.keys()
    if (this.#clients.size > this.#most) this.#clients.delete(oldest as string)
  }
}
