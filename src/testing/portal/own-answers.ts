import type { Row } from './row-query.ts'
import type { SimulatedUser } from './users.ts'

/**
 * Answers a REST method: gets the parameters, which are text inside of a batch, and who calls; gives the `result`. A `RestError` that it
 * throws is the refusal of the portal.
 */
export type MethodAnswer = (params: Row, user: SimulatedUser) => unknown

/** How a method is answered. */
export interface AnswerOptions {
  /** 3: at `/rest/api/`, where errors have another form. @default 2 */
  version?: 2 | 3
}

/** How a list is shown. */
export interface ListOptions {
  /** Key of the rows in `result`, such as `items`; without one `result` is the rows. */
  key?: string
  /** `false`: all rows at once, as some methods do. @default true, 50 of them */
  paged?: boolean
}

/** Rows that a list method answers. */
export interface ListedRows extends ListOptions {
  rows: readonly Row[]
}

/** Methods of a portal that a test answers itself. */
export class OwnAnswers<Answer> {
  readonly #answers = new Map<string, Answer>()

  /** @param method in small letters */
  get (method: string): Answer | undefined {
    return this.#answers.get(method)
  }

  /** @returns a function that puts back what was there */
  set (method: string, answer: Answer): () => void {
    const name = method.toLowerCase()
    const before = this.#answers.get(name)
    this.#answers.set(name, answer)
    return () => {
      if (before === undefined) this.#answers.delete(name)
      else this.#answers.set(name, before)
    }
  }
}
