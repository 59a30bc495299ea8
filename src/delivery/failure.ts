/** One error for all that failed: the only one, or an `AggregateError` whose message names each. */
export function failureOf (errors: readonly Error[]): Error {
  const [first] = errors
  if (errors.length === 1) return first as Error
  return new AggregateError(errors, `${errors.length} handlers failed: ${errors.map(({ message }) => message).join('; ')}`)
}
