/**
 * A connection to a daemon on this machine or near it: octets with back-pressure, and an answer of bounded size.
 *
 * Why  a daemon may answer and close while it is still being written to (a message over its limit): then the answer
 *      counts, not the write that failed.
 */
import { connect, type Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { parseSocketAddress } from '../../kit/socket-address.ts'

export class DaemonConnection {
  readonly #socket: Socket
  readonly #signal: AbortSignal
  readonly #maxAnswerBytes: number
  #answer = Buffer.alloc(0)
  #failure: Error | null = null
  #isOver = false
  #wake: () => void = () => {}

  private constructor(address: string, signal: AbortSignal, maxAnswerBytes: number) {
    this.#signal = signal
    this.#maxAnswerBytes = maxAnswerBytes
    const target = parseSocketAddress(address)
    this.#socket = address.startsWith('/') || target === null ? connect(address) : connect(target.port, target.host)
    this.#socket.setNoDelay(true)
    this.#socket.on('data', (octets: Buffer) => this.#take(octets))
    this.#socket.on('drain', () => this.#wake())
    this.#socket.on('error', (error) => (this.#failure ??= error))
    for (const event of ['end', 'close'] as const) {
      this.#socket.on(event, () => {
        this.#isOver = true
        this.#wake()
      })
    }
  }

  /** Uses the connection for `work` and closes it, at once where `signal` aborts. */
  static async use<Value>(
    address: string,
    signal: AbortSignal,
    work: (connection: DaemonConnection) => Promise<Value>,
    maxAnswerBytes = 64 * 1024,
  ): Promise<Value> {
    signal.throwIfAborted()
    const connection = new DaemonConnection(address, signal, maxAnswerBytes)
    const stop = (): void => void connection.#socket.destroy(signal.reason as Error)
    signal.addEventListener('abort', stop, { once: true })
    try {
      return await work(connection)
    } finally {
      signal.removeEventListener('abort', stop)
      connection.#socket.destroy()
    }
  }

  get hasAnswer(): boolean {
    return this.#answer.length > 0
  }

  /** False where it takes nothing more: it has answered, or gone. */
  async write(...octets: readonly (Uint8Array | string)[]): Promise<boolean> {
    let isRoom = true
    for (const part of octets) if (!this.#isOver && this.#socket.writable) isRoom = this.#socket.write(part)
    while (!isRoom && !this.#isOver && this.#socket.writableNeedDrain) await this.#news()
    // Its answer may be here already: writing on could fail, and then it would never be read.
    await nextTurn()
    return !this.#isOver && !this.hasAnswer
  }

  /** Says that nothing more comes. */
  end(): void {
    if (!this.#isOver) this.#socket.end()
  }

  /** What it said up to `mark`, without it; without a mark all until it closes. Throws where it goes before. */
  async answer(mark: string | null): Promise<string> {
    for (;;) {
      const end = mark === null ? -1 : this.#answer.indexOf(mark)
      if (end >= 0) return this.#answer.toString('latin1', 0, end)
      if (this.#answer.length > this.#maxAnswerBytes) throw new Error('its answer is too long')
      if (this.#isOver && mark === null && this.#failure === null && this.hasAnswer) return this.#answer.toString('latin1')
      if (this.#isOver) {
        this.#signal.throwIfAborted()
        throw new Error(this.#failure?.message ?? 'it closed the connection without an answer', { cause: this.#failure })
      }
      await this.#news()
    }
  }

  #take(octets: Buffer): void {
    if (this.#answer.length <= this.#maxAnswerBytes) this.#answer = Buffer.concat([this.#answer, octets])
    this.#wake()
  }

  async #news(): Promise<void> {
    await new Promise<void>((resolve) => (this.#wake = resolve))
  }
}
