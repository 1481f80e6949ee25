/**
 * Keeps a dead daemon from adding its time limit to every message: after some failures in a row it is not asked for a
 * while, then by one message at a time until it answers.
 */
const failuresBeforeRest = 3
const restMs = 10_000

export class Breaker {
  readonly #nowMs: () => number
  #failureCount = 0
  #restUntilMs = 0
  #isProbing = false
  #lastFailure = ''

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  /** `null`: ask it, and tell how it went. Else why not. */
  refusal(): string | null {
    if (this.#failureCount < failuresBeforeRest) return null
    if (this.#isProbing || this.#nowMs() < this.#restUntilMs) return `not asked, as it failed before: ${this.#lastFailure}`
    this.#isProbing = true
    return null
  }

  /** True where it had not answered before. */
  succeeded(): boolean {
    const isBack = this.#failureCount > 0
    this.#failureCount = 0
    this.#isProbing = false
    return isBack
  }

  /** Nobody knows how it would have gone. */
  gaveUp(): void {
    this.#isProbing = false
  }

  /** True where it did answer until now. */
  failed(text: string): boolean {
    this.#failureCount += 1
    this.#isProbing = false
    this.#lastFailure = text
    this.#restUntilMs = this.#nowMs() + restMs
    return this.#failureCount === 1
  }
}
