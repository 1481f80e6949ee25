/**
 * Asks a server for recipients that do not exist, as a spammer with a list does: node refused-recipients.js PORT COUNT
 * prints the seconds until every one was refused. 20 sessions; each transaction is MAIL, a few RCPT and RSET in one packet.
 */
import { once } from 'node:events'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { listedDomain, sessionCount } from './smtp-peers.ts'

const recipientsPerTransaction = 5
const [port, count] = process.argv.slice(2).map(Number) as [number, number]

let begun = 0
let refused = 0

async function session(): Promise<void> {
  const socket = connect(port, '127.0.0.1').setNoDelay()
  const replies = createInterface({ input: socket })[Symbol.asyncIterator]()
  const reply = async (): Promise<string> => {
    for (;;) {
      const { value, done } = await replies.next()
      if (done === true) throw new Error('The server closed the connection')
      if (/^\d{3} /.test(value)) return value
    }
  }
  await reply()
  socket.write('EHLO client.test\r\n')
  await reply()
  while (begun < count) {
    const recipients = Array.from({ length: recipientsPerTransaction }, () => `nobody${(begun += 1)}@${listedDomain}`)
    socket.write(`MAIL FROM:<spam@remote.test>\r\n${recipients.map((address) => `RCPT TO:<${address}>\r\n`).join('')}RSET\r\n`)
    await reply()
    for (const address of recipients) {
      const answer = await reply()
      if (!answer.startsWith('550')) throw new Error(`${address} was answered ${answer}`)
      refused += 1
    }
    await reply()
  }
  socket.end('QUIT\r\n')
  await once(socket.resume(), 'close')
}

const startMs = performance.now()
await Promise.all(Array.from({ length: sessionCount }, session))
process.stdout.write(JSON.stringify({ refused, seconds: (performance.now() - startMs) / 1_000 }))
