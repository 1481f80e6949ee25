/** First in, first out, without moving what waits; a job may come back to the front. */
import type { DeliveryJob } from './deliver-message.ts'

export class JobLine {
  #jobs: (DeliveryJob | null)[] = []
  #first = 0

  get length(): number {
    return this.#jobs.length - this.#first
  }

  push(job: DeliveryJob): void {
    this.#jobs.push(job)
  }

  unshift(job: DeliveryJob): void {
    if (this.#first === 0) this.#jobs.unshift(job)
    else this.#jobs[(this.#first -= 1)] = job
  }

  peek(): DeliveryJob | null {
    return this.#jobs[this.#first] ?? null
  }

  shift(): DeliveryJob | null {
    const job = this.#jobs[this.#first] ?? null
    if (job === null) return null
    this.#jobs[this.#first] = null
    this.#first += 1
    if (this.#first > 1_024 && this.#first * 2 > this.#jobs.length) {
      this.#jobs = this.#jobs.slice(this.#first)
      this.#first = 0
    }
    return job
  }

  takeWhere(isWanted: (job: DeliveryJob) => boolean): DeliveryJob[] {
    const jobs = [...this]
    this.#jobs = jobs.filter((job) => !isWanted(job))
    this.#first = 0
    return jobs.filter(isWanted)
  }

  *[Symbol.iterator](): Iterator<DeliveryJob> {
    for (let index = this.#first; index < this.#jobs.length; index += 1) yield this.#jobs[index]!
  }
}
