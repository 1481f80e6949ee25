/**
 * rspamd: how much a message looks like spam, by POST /checkv2.
 *
 * Results  ham, probable, certain by `scores`; certain also where rspamd itself would reject it, whatever the score.
 * Why      rspamd is told who sent the message to whom, as it judges that too; what it would do is only a word in the
 *          log: the rules decide.
 */
import type { Static } from 'typebox'
import type { RspamdSettings } from '../../../kit/plugin-settings.ts'
import { acceptedRecipients, type Transaction } from '../../session/transaction.ts'
import { skippedResult } from '../../../rules/check-names.ts'
import { MessageFailure, type Plugin, type PluginFinding } from '../plugin.ts'
import { getText, postMessage, type HttpAnswer } from '../post-message.ts'
import { loggedScore, scoreText, scoreWord, type ScoreThresholds } from '../spam-score.ts'

/** More of them tell rspamd nothing new, and a header has its limits. */
const recipientsTold = 50

export function rspamdPlugin(settings: Static<typeof RspamdSettings>): Plugin {
  const base = settings.url.replace(/\/+$/, '')
  const secret: Record<string, string> = settings.password === undefined ? {} : { Password: settings.password }
  return {
    kind: 'rspamd',
    settings,
    async version(signal) {
      const { status, body } = await getText(`${base}/ping`, signal)
      if (status !== 200 || !body.startsWith('pong')) throw new Error(`/ping answered ${status}`)
      return 'rspamd'
    },
    async scan(message, signal) {
      const headers = { ...envelopeHeaders(message.transaction), ...secret }
      return findingOf(await postMessage({ url: `${base}/checkv2`, headers, message, signal }), settings.scores)
    },
  }
}

function envelopeHeaders(transaction: Transaction): Record<string, string | string[]> {
  const { facts, sender, id } = transaction
  const known = { IP: facts.remote.ip, Helo: facts.helo, Hostname: facts.remote.reverseName, User: facts.authUser }
  const headers: Record<string, string | string[]> = {
    From: headerText(sender ?? ''),
    Rcpt: acceptedRecipients(transaction).slice(0, recipientsTold).map(({ normalized }) => headerText(normalized)),
    'Queue-Id': id,
  }
  for (const [name, value] of Object.entries(known)) if (value !== null) headers[name] = headerText(value)
  return headers
}

/** rspamd undoes percent-encoding; as it stands a header takes ASCII only. */
function headerText(text: string): string {
  return text.replace(/[^\x21-\x7e]|%/gu, (character) => encodeURIComponent(character))
}

function findingOf({ status, body }: HttpAnswer, scores: ScoreThresholds): PluginFinding {
  if (status >= 500) throw new Error(`rspamd answered ${status}`)
  if (status !== 200) throw new MessageFailure(`rspamd answered ${status}`)
  const answer = parsed(body)
  const { score, required_score: required = null, action = '', is_skipped: isSkipped = false } = answer
  // Also of GTUBE it says that it skipped the rest, and that it would reject it.
  if (isSkipped && action === 'no action') return { result: skippedResult, detail: 'rspamd skipped it by its settings' }
  if (typeof score !== 'number') throw new MessageFailure('rspamd answered without a score')
  const symbols = Object.values(answer.symbols ?? {}).sort((a, b) => Math.abs(b.score) - Math.abs(a.score))
  const names = symbols.map((symbol) => `${symbol.name} ${Number(symbol.score.toFixed(2))}`)
  const result = action === 'reject' ? 'certain' : scoreWord(score, scores)
  return { result, detail: `${action}; ${scoreText(score, required, names)}`, score: loggedScore(score) }
}

type RspamdAnswer = {
  score?: number
  required_score?: number | null
  action?: string
  is_skipped?: boolean
  symbols?: Record<string, { name: string; score: number }>
}

function parsed(body: string): RspamdAnswer {
  try {
    return JSON.parse(body) as RspamdAnswer
  } catch (error) {
    throw new MessageFailure('rspamd answered no JSON', { cause: error })
  }
}
