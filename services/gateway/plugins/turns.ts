/** Lets so many have their turn at once; others wait in line. */
export type Turn = { granted: Promise<void>; end(): void }

export class Turns {
  readonly #limit: number
  readonly #waiting = new Set<() => void>()
  #running = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  /** `end` it in any case, granted or not. */
  take(): Turn {
    let isGranted = false
    let isOver = false
    let grant!: () => void
    const granted = new Promise<void>((resolve) => {
      grant = () => {
        isGranted = true
        this.#running += 1
        resolve()
      }
    })
    if (this.#running < this.#limit) grant()
    else this.#waiting.add(grant)
    return {
      granted,
      end: () => {
        if (isOver) return
        isOver = true
        if (!isGranted) return void this.#waiting.delete(grant)
        this.#running -= 1
        const [next] = this.#waiting
        if (next === undefined) return
        this.#waiting.delete(next)
        next()
      },
    }
  }
}
