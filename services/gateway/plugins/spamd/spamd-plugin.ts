/**
 * SpamAssassin: how much a message looks like spam, by the SYMBOLS command of spamd.
 *
 * Results  ham, probable, certain by `scores`.
 * Why      spamd sees the Received line that the gateway puts before the message: without it, it would take the hop
 *          before the remote for the remote.
 */
import type { Static } from 'typebox'
import type { Clock } from '../../../kit/clock.ts'
import type { SpamdSettings } from '../../../kit/plugin-settings.ts'
import { receivedHeader } from '../../session/received-header.ts'
import { DaemonConnection } from '../daemon-connection.ts'
import { MessageFailure, type Plugin, type PluginFinding } from '../plugin.ts'
import { loggedScore, scoreText, scoreWord, type ScoreThresholds } from '../spam-score.ts'

/** Exit codes of sysexits.h that say nothing about the message: software, temporary failure, time-out. */
const brokenCodes = [69, 70, 71, 74, 75, 79]

export function spamdPlugin(settings: Static<typeof SpamdSettings>, hostname: string, clock: Pick<Clock, 'nowMs'>): Plugin {
  const { address, user, scores } = settings
  const userLine = user === undefined ? '' : `User: ${user}\r\n`
  return {
    kind: 'spamd',
    settings,
    async version(signal) {
      const answer = await DaemonConnection.use(address, signal, async (connection) => {
        await connection.write('PING SPAMC/1.5\r\n\r\n')
        return await connection.answer('\n')
      })
      if (!/^SPAMD\/\S+ 0 PONG/.test(answer)) throw new Error(`spamd answered ${answer}`)
      return answer.split(' ')[0]!
    },
    async scan(message, signal) {
      const { transaction } = message
      const before = Buffer.from(
        `Return-Path: <${transaction.sender ?? ''}>\r\n${receivedHeader(transaction, hostname, clock.nowMs())}`,
      )
      const answer = await DaemonConnection.use(address, signal, async (connection) => {
        const size = before.length + message.sizeBytes
        let isWanted = await connection.write(`SYMBOLS SPAMC/1.5\r\nContent-length: ${size}\r\n${userLine}\r\n`, before)
        for await (const chunk of message.octets()) {
          if (!isWanted) break
          isWanted = await connection.write(chunk)
        }
        connection.end()
        return await connection.answer(null)
      })
      return findingOf(answer, scores)
    },
  }
}

function findingOf(answer: string, scores: ScoreThresholds): PluginFinding {
  const end = answer.indexOf('\r\n\r\n')
  const head = end < 0 ? answer : answer.slice(0, end)
  const [, code = '', text = ''] = /^SPAMD\/\S+ (\d+) ([^\r\n]*)/.exec(head) ?? []
  if (code !== '0') {
    const Failure = code !== '' && !brokenCodes.includes(Number(code)) ? MessageFailure : Error
    throw new Failure(`spamd answered ${code === '' ? 'something else than SPAMD' : `${code} ${text}`}`)
  }
  const [, score, limit] = /^Spam: *\S+ *; *(-?[\d.]+) *\/ *(-?[\d.]+)/im.exec(head) ?? []
  if (score === undefined || end < 0) throw new MessageFailure('spamd answered without a score')
  const names = answer.slice(end + 4).split(/[,\s]+/).filter((name) => name !== '')
  return { result: scoreWord(Number(score), scores), detail: scoreText(Number(score), Number(limit), names), score: loggedScore(Number(score)) }
}
