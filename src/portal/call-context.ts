import type { PortalAccess } from './portal-access.ts'

/** Name of a parameter that no method has. */
const NAME = 'fastify-bitrix24'

/**
 * What a call brings along on its way through the SDK, as one of its parameters: SDK and axios copy maps and lists, but pass on
 * an instance of a class. It has no property that anything could print, clone or serialise.
 */
export class CallContext {
  readonly #signal: AbortSignal | undefined
  #access: PortalAccess | undefined
  #failure: unknown

  /** `access` was read for the call just now; its first request takes it. */
  constructor (signal: AbortSignal | undefined, access?: PortalAccess) {
    this.#signal = signal
    this.#access = access
  }

  get signal (): AbortSignal | undefined {
    return this.#signal
  }

  /** Why the call failed; the SDK says it in words of its own. */
  get failure (): unknown {
    return this.#failure
  }

  fail (failure: unknown): void {
    this.#failure = failure
  }

  takeAccess (): PortalAccess | undefined {
    const access = this.#access
    this.#access = undefined
    return access
  }

  /** The parameters with this context among them. */
  among (params: object): object {
    return { ...params, [NAME]: this }
  }

  toJSON (): undefined {
    return undefined
  }
}

/** Takes the context out of parameters again, and the token that the SDK put there. */
export function contextIn (data: Record<string, unknown>): { params: object, context: CallContext | undefined } {
  const { auth: _, [NAME]: context, ...params } = data
  return { params, context: context instanceof CallContext ? context : undefined }
}
