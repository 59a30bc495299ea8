import type { RestPortal } from '../../portal/rest-portal.ts'
import type { Row } from '../../portal/row-query.ts'
import type { SimulatedPair } from '../../tokens.ts'

/** A call of REST 3 whose token is good. */
export interface CallV3 {
  portal: RestPortal
  pair: SimulatedPair
  params: Row
}

/** One method of REST 3. */
export interface MethodV3 {
  /** Permission of the app that it needs. */
  scope?: string
  /** Gives what stands in `result`. */
  run: (call: CallV3) => unknown
}
