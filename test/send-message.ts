/** Sends one message over a real socket, dot-stuffed, and resolves to the last reply. */
import { connect } from 'node:net'

export type SendOptions = { recipient?: string; sender?: string }

export async function sendMessage(
  address: string,
  message: string | Buffer,
  { recipient = 'a@example.com', sender = 'ann@example.com' }: SendOptions = {},
): Promise<string> {
  const at = address.lastIndexOf(':')
  const socket = connect(Number(address.slice(at + 1)), address.slice(0, at))
  let said = ''
  let wake: () => void = () => {}
  let isOver = false
  socket.on('data', (text) => {
    said += String(text)
    wake()
  })
  socket.on('error', () => {})
  socket.on('close', () => {
    isOver = true
    wake()
  })
  const reply = async (): Promise<string> => {
    for (;;) {
      const last = /^(\d{3} [^\r\n]*)\r\n/m.exec(said)
      if (last !== null) {
        said = said.slice(last.index + last[0].length)
        return last[1]!
      }
      if (isOver) throw new Error('the gateway closed the connection')
      await new Promise<void>((resolve) => (wake = resolve))
    }
  }
  try {
    await reply()
    for (const line of ['EHLO client.example', `MAIL FROM:<${sender}>`, `RCPT TO:<${recipient}>`, 'DATA']) {
      socket.write(`${line}\r\n`)
      const answer = await reply()
      if (!/^[23]/.test(answer)) return answer
    }
    const text = Buffer.isBuffer(message) ? message.toString('latin1') : message
    socket.write(Buffer.from(`${text.replace(/^\./gm, '..')}.\r\n`, 'latin1'))
    return await reply()
  } finally {
    socket.destroy()
  }
}
