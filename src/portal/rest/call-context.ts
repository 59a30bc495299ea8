import type { CallStart } from './portal-calls.ts'

/** Name of a parameter that no method has. */
const NAME = 'fastify-bitrix24'

/**
 * What a call brings along on its way through the SDK, as one of its parameters: SDK and axios copy maps and lists, but pass on
 * an instance of a class. It has no property that anything could print, clone or serialise.
 */
export class CallContext {
  readonly #signal: AbortSignal | undefined
  #start: CallStart | undefined
  #failure: unknown

  /** `start` is for the call's first request. */
  constructor (signal: AbortSignal | undefined, start?: CallStart) {
    this.#signal = signal
    this.#start = start
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

  takeStart (): CallStart | undefined {
    const start = this.#start
    this.#start = undefined
    return start
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
