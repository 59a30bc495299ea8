/** A refusal of the REST side, as the portal words it. */
export class RestError extends Error {
  readonly status: number
  readonly code: string

  /** @param status HTTP status of the answer @param code its `error` @param description its `error_description` */
  constructor (status: number, code: string, description: string) {
    super(description)
    this.status = status
    this.code = code
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
