/**
 * Plays one planned session to the gateway's own session code, without a socket and on the simulated clock.
 */
import type { Connection } from '../gateway/session/connection.ts'
import { Session, type SessionDeps } from '../gateway/session/session.ts'
import type { SeededRandom } from './seeded-random.ts'
import type { SessionPlan, TransactionPlan } from './session-plan.ts'
import type { SimulatedTime } from './simulated-time.ts'

export async function playHistory(plan: SessionPlan, deps: SessionDeps, time: SimulatedTime, random: SeededRandom): Promise<void> {
  let code = 0
  const connection: Connection = {
    remoteIp: plan.remoteIp,
    remotePort: random.whole(32_768, 60_999),
    listener: '192.0.2.25:25',
    isSubmission: false,
    write(text, done) {
      code = Number(text.slice(text.lastIndexOf('\n', text.length - 2) + 1).slice(0, 3))
      done()
    },
    tls: null,
    mayStartTls: false,
    startTls: async () => null,
    drained: () => null,
    pause() {},
    resume() {},
    close: async () => ({ isBroken: false }),
  }
  const session = new Session(deps, connection)
  const roundTripMs = random.logNormal(plan.origin === 'public' ? 38 : 2, 0.5)
  const send = async (chunk: Buffer): Promise<void> => {
    session.receive(chunk)
    await session.settled()
  }
  const command = async (line: string): Promise<number> => {
    time.pass(roundTripMs * (0.8 + 0.4 * random.fraction()))
    await send(Buffer.from(`${line}\r\n`))
    return code
  }
  session.open()
  await session.settled()
  let isOver = code >= 400 || (await command(`EHLO ${plan.helo}`)) >= 400
  for (const transaction of plan.transactions) {
    if (isOver) break
    isOver = await playTransaction(transaction, { session, command, send, time, roundTripMs })
  }
  if (!isOver) await command('QUIT')
  else session.connectionLost()
  await session.closed
}

type Player = {
  session: Session
  command(line: string): Promise<number>
  send(chunk: Buffer): Promise<void>
  time: SimulatedTime
  roundTripMs: number
}

/** Whether the connection is over. */
async function playTransaction(transaction: TransactionPlan, player: Player): Promise<boolean> {
  const { command, send, time } = player
  const size = transaction.declaredSizeBytes === null ? '' : ` SIZE=${transaction.declaredSizeBytes}`
  if ((await command(`MAIL FROM:<${transaction.sender}>${size}`)) >= 400) return false
  let accepted = 0
  for (const recipient of transaction.recipients) if ((await command(`RCPT TO:<${recipient}>`)) < 300) accepted += 1
  if (accepted === 0 || transaction.givesUp === 'reset-after-rcpt') {
    await command('RSET')
    return false
  }
  if ((await command('DATA')) !== 354) return false
  const { parts, sizeBytes } = transaction.message
  time.pass(player.roundTripMs + sizeBytes / 2_500)
  const sent = transaction.givesUp === 'break-in-data' ? parts.slice(0, Math.ceil(parts.length / 2)) : parts
  for (const part of sent) await send(Buffer.from(part.buffer, part.byteOffset, part.length))
  if (transaction.givesUp === 'break-in-data') return true
  await send(Buffer.from('.\r\n'))
  return transaction.givesUp === 'break-before-reply'
}
