/**
 * Plays one planned session to a gateway over SMTP, as a plain client without pipelining (RFC 5321).
 *
 * Leaves  when to try again to live-stream.ts.
 * Fails   rejects where the connection cannot be made, breaks, or is silent for `silenceMs`: the remote then tries
 *         again, as it does after a 4xx.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { SocketAddress } from '../kit/socket-address.ts'
import type { SessionPlan, TransactionPlan } from './session-plan.ts'

/** What came of one transaction: only `later` is to be sent again. */
export type SendOutcome = 'accepted' | 'refused' | 'given-up' | 'later'

const silenceMs = 60_000

export async function playSession(plan: SessionPlan, gateway: SocketAddress, localAddress: string | undefined): Promise<SendOutcome[]> {
  const socket = connect({ host: gateway.host, port: gateway.port, ...(localAddress === undefined ? {} : { localAddress }) })
  socket.setNoDelay(true)
  socket.setTimeout(silenceMs, () => socket.destroy(new Error(`the gateway was silent for ${silenceMs / 1_000} s`)))
  const replies = repliesOf(socket)
  const dialog: Dialog = {
    socket,
    reply: async () => {
      const { done, value } = await replies.next()
      if (done === true) throw new Error('the gateway closed the connection')
      return value
    },
    command: async (line) => {
      socket.write(`${line}\r\n`)
      return await dialog.reply()
    },
  }
  try {
    return await playDialog(plan, dialog)
  } finally {
    socket.destroy()
  }
}

type Dialog = { socket: Socket; reply(): Promise<number>; command(line: string): Promise<number> }

async function playDialog(plan: SessionPlan, dialog: Dialog): Promise<SendOutcome[]> {
  const outcomes: SendOutcome[] = []
  if ((await dialog.reply()) >= 400 || (await dialog.command(`EHLO ${heloArgument(plan.helo)}`)) >= 400) {
    return plan.transactions.map(() => 'later')
  }
  for (const transaction of plan.transactions) {
    const outcome = await playTransaction(transaction, dialog)
    outcomes.push(outcome)
    // Broken off by the remote itself: nothing more is said.
    if (transaction.givesUp.startsWith('break')) return outcomes
  }
  await dialog.command('QUIT')
  return outcomes
}

async function playTransaction(transaction: TransactionPlan, dialog: Dialog): Promise<SendOutcome> {
  const size = transaction.declaredSizeBytes === null ? '' : ` SIZE=${transaction.declaredSizeBytes}`
  const mail = await dialog.command(`MAIL FROM:<${transaction.sender}>${size}`)
  if (mail >= 400) return mail >= 500 ? 'refused' : 'later'
  let accepted = 0
  let isDeferred = false
  for (const recipient of transaction.recipients) {
    const code = await dialog.command(`RCPT TO:<${recipient}>`)
    if (code < 300) accepted += 1
    else if (code < 500) isDeferred = true
  }
  if (accepted === 0 || transaction.givesUp === 'reset-after-rcpt') {
    await dialog.command('RSET')
    if (accepted > 0) return 'given-up'
    return isDeferred ? 'later' : 'refused'
  }
  const data = await dialog.command('DATA')
  if (data !== 354) return data >= 500 ? 'refused' : 'later'
  const { parts } = transaction.message
  const sent = transaction.givesUp === 'break-in-data' ? parts.slice(0, Math.ceil(parts.length / 2)) : parts
  for (const part of sent) if (!dialog.socket.write(part)) await once(dialog.socket, 'drain')
  if (transaction.givesUp === 'break-in-data') return 'given-up'
  // Every composed message ends with CRLF.
  dialog.socket.write('.\r\n')
  if (transaction.givesUp === 'break-before-reply') {
    await new Promise<void>((resolve) => dialog.socket.end(() => resolve()))
    return 'later'
  }
  const end = await dialog.reply()
  return end < 400 ? 'accepted' : end < 500 ? 'later' : 'refused'
}

/** A bare address is what careless remotes give; ours does as they do. */
function heloArgument(helo: string): string {
  return helo === '' ? 'localhost' : helo
}

/** Codes of the replies, one a reply: the last line has a blank after the code (RFC 5321 §4.2.1). */
async function* repliesOf(socket: Socket): AsyncGenerator<number, void> {
  let rest = ''
  for await (const chunk of socket) {
    rest += String(chunk)
    for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n')) {
      const line = rest.slice(0, end)
      rest = rest.slice(end + 1)
      if (line[3] !== '-') yield Number(line.slice(0, 3))
    }
  }
}
