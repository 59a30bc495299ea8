interface Open<Question, Answer> {
  questions: Question[]
  answers: Promise<Answer[]>
  send (): void
}

/**
 * Asks one by one for who asks, and together for the storage: what one tick of the event loop asks for travels in one command. One
 * question alone waits no longer than to the end of its tick, and no more than `most` wait for each other, so that it works
 * on some while others are being asked.
 */
export class TickBatch<Question, Answer> {
  readonly #ask: (questions: Question[]) => Promise<Answer[]>
  readonly #most: number
  readonly #isEager: boolean
  #open: Open<Question, Answer> | undefined
  #underWay = 0

  /**
   * `ask` resolves with the answers in the order of the questions.
   *
   * An `eager` one sends a question at once while no other is under way: who asks may have work to do in this tick meanwhile.
   */
  constructor (ask: (questions: Question[]) => Promise<Answer[]>, most: number, { eager = false } = {}) {
    this.#ask = ask
    this.#most = most
    this.#isEager = eager
  }

  async ask (question: Question): Promise<Answer> {
    if (this.#isEager && this.#underWay === 0 && this.#open === undefined) return (await this.#send([question]))[0] as Answer
    const { questions, answers, send } = this.#open ??= this.#begin()
    const index = questions.push(question) - 1
    if (questions.length === this.#most) send()
    return (await answers)[index] as Answer
  }

  #begin (): Open<Question, Answer> {
    const questions: Question[] = []
    let send!: () => void
    const answers = new Promise<Answer[]>((resolve) => {
      send = () => {
        if (this.#open?.questions !== questions) return
        this.#open = undefined
        resolve(this.#send(questions))
      }
    })
    setImmediate(send)
    return { questions, answers, send }
  }

  async #send (questions: Question[]): Promise<Answer[]> {
    this.#underWay++
    try {
      return await this.#ask(questions)
    } finally {
      this.#underWay--
    }
  }
}
