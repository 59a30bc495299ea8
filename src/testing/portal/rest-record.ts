/** One REST request to a portal: names of methods and parameters only, so it can be printed. */
export interface RestRecord {
  /** In small letters. */
  method: string
  /** Parameters of the body. */
  inBody: string[]
  /** Parameters of the query: a secret among them would stand in every log on the way. */
  inUrl: string[]
  /** Methods that a `batch` names. */
  commands?: string[]
  /** Of a call of REST 3. */
  version?: 3
  /** HTTP status of the answer; absent while there is none. */
  status?: number
}
