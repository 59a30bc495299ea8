/** A refusal of the REST side, as the portal words it. */
export class RestError extends Error {
  readonly status: number
  readonly code: string
  /** Further keys of the answer: at REST 3, those of `error`. */
  readonly more: Readonly<Record<string, unknown>>

  /**
   * @param status HTTP status of the answer
   * @param code its `error`, which Bitrix24 often leaves empty; at REST 3 its `error.code`
   * @param description its `error_description`; at REST 3 its `error.message`
   * @param more further keys of the answer, such as `{ validation: [{ field: 'id', message: '…' }] }` at REST 3
   */
  constructor (status: number, code: string, description: string, more: Readonly<Record<string, unknown>> = {}) {
    super(description)
    this.status = status
    this.code = code
    this.more = more
  }

  /** The answer of classic REST, alone or inside of a batch. */
  get body (): object {
    return { error: this.code, error_description: this.message, ...this.more }
  }
}

/** What Bitrix24 says of a parameter that is missing or of the wrong kind. */
export function wrongArgument (name: string, problem = 'is null or empty'): RestError {
  return new RestError(400, 'ERROR_ARGUMENT', `Argument '${name.toUpperCase()}' ${problem}`)
}

/** What Bitrix24 says to a user without rights. */
export function accessDenied (): RestError {
  return new RestError(403, 'ACCESS_DENIED', 'Access denied!')
}
