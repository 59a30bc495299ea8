import { RestError } from '../rest-error.ts'

const PREFIX = 'BITRIX_REST_V3_EXCEPTION_'

/** A refusal of REST 3, such as `refusal(403, 'ACCESSDENIEDEXCEPTION', 'Access denied')`. */
export function refusal (status: number, name: string, message: string, more?: Record<string, unknown>): RestError {
  return new RestError(status, PREFIX + name, message, more)
}

/** What REST 3 says of a field of the request that is missing or of the wrong kind. */
export function invalidRequest (field: string, problem: string): RestError {
  const validation = [{ message: problem, field }]
  return refusal(400, 'VALIDATION_REQUESTVALIDATIONEXCEPTION', 'Request object validation failed', { validation })
}
