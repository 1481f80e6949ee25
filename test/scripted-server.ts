/** For tests: a next hop that does exactly what the test says, octet by octet. */
import { createServer, type AddressInfo, type Socket } from 'node:net'

export class ScriptedDialog {
  readonly socket: Socket
  /** Every line received, in order. */
  readonly lines: string[] = []
  #pending = Buffer.alloc(0)
  #isOver = false
  #wake: () => void = () => {}

  constructor(socket: Socket) {
    this.socket = socket
    socket.setNoDelay(true)
    socket.on('error', () => {})
    socket.on('data', (octets: Buffer) => {
      this.#pending = Buffer.concat([this.#pending, octets])
      this.#wake()
    })
    socket.on('close', () => {
      this.#isOver = true
      this.#wake()
    })
  }

  send(text: string): void {
    if (!this.socket.destroyed) this.socket.write(text)
  }

  /** The next line without its end; throws when the client has gone. */
  async line(): Promise<string> {
    for (;;) {
      const end = this.#pending.indexOf('\r\n')
      if (end >= 0) {
        const line = this.#pending.toString('utf8', 0, end)
        this.#pending = this.#pending.subarray(end + 2)
        this.lines.push(line)
        return line
      }
      await this.#more()
    }
  }

  /** The message up to the dot line, still dot-stuffed. */
  async data(): Promise<string> {
    for (let from = 0; ; ) {
      if (this.#pending.indexOf('.\r\n') === 0) {
        this.#pending = this.#pending.subarray(3)
        return ''
      }
      const end = this.#pending.indexOf('\r\n.\r\n', from)
      if (end >= 0) {
        const text = this.#pending.toString('latin1', 0, end + 2)
        this.#pending = this.#pending.subarray(end + 5)
        return text
      }
      from = Math.max(0, this.#pending.length - 4)
      await this.#more()
    }
  }

  /** At least so many octets of whatever comes. */
  async octets(count: number): Promise<void> {
    while (this.#pending.length < count) await this.#more()
  }

  async #more(): Promise<void> {
    if (this.#isOver) throw new Error('the client has gone')
    await new Promise<void>((resolve) => (this.#wake = resolve))
  }

  /** Greets and answers EHLO with these extensions. */
  async greet(extensions: string[] = ['PIPELINING', '8BITMIME']): Promise<void> {
    this.send('220 inner ESMTP\r\n')
    await this.line()
    const lines = ['inner', ...extensions]
    this.send(lines.map((line, index) => `250${index === lines.length - 1 ? ' ' : '-'}${line}\r\n`).join(''))
  }

  /** Reads on and forgets what comes. */
  ignore(): void {
    this.socket.removeAllListeners('data')
    this.socket.resume()
  }

  /** Answers MAIL, each RCPT and DATA, then the message. */
  async takeMessage(replies: { mail?: string; rcpt?: (line: string) => string; data?: string; final?: string } = {}): Promise<string> {
    for (;;) {
      const line = await this.line()
      if (line.startsWith('MAIL')) this.send(`${replies.mail ?? '250 ok'}\r\n`)
      else if (line.startsWith('RCPT')) this.send(`${replies.rcpt?.(line) ?? '250 ok'}\r\n`)
      else if (line === 'RSET') this.send('250 ok\r\n')
      else if (line === 'DATA') {
        const data = replies.data ?? '354 go'
        this.send(`${data}\r\n`)
        if (!data.startsWith('354')) return ''
        const content = await this.data()
        this.send(`${replies.final ?? '250 taken'}\r\n`)
        return content
      } else throw new Error(`unexpected: ${line}`)
    }
  }

  close(): void {
    this.socket.end()
  }
}

export type ScriptedServer = { readonly port: number; readonly dialogs: ScriptedDialog[]; stop(): Promise<void> }

/** `script` is called for every connection with its number from 1; a client that leaves early just ends it. */
export async function startScriptedServer(script: (dialog: ScriptedDialog, connection: number) => Promise<void>): Promise<ScriptedServer> {
  const dialogs: ScriptedDialog[] = []
  const server = createServer((socket) => {
    const dialog = new ScriptedDialog(socket)
    dialogs.push(dialog)
    script(dialog, dialogs.length).catch(() => socket.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    dialogs,
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const dialog of dialogs) dialog.socket.destroy()
      await closed
    },
  }
}
