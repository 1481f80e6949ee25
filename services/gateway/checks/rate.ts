/**
 * Rates: how much one remote, network, sender, recipient or user may send in a time.
 *
 * Owns    what counts where: messages at MAIL, recipients at RCPT, octets at the end of data.
 * Why     what is over does not count, so that a client which never gives up is not shut out for ever: it gets its
 *         limit in each window. Device networks do not count: they split a long scan into many messages (SYSTEMS P3).
 */
import { normalizedAddress } from '../../contracts/address.ts'
import type { Stage } from '../../contracts/vocabulary.ts'
import type { Config } from '../../kit/config.ts'
import { found, unknown, type Check, type Finding, type Question } from './check.ts'
import { senderDomainOf } from './sender-domain.ts'
import { SlidingCounts } from './sliding-counts.ts'
import { networkOf } from './who.ts'

type Rate = Config['checks']['rates'][number]

const keyKnownAt = {
  remote: 'connect',
  network: 'connect',
  sender: 'mail',
  'sender-domain': 'mail',
  recipient: 'rcpt',
  'auth-user': 'mail',
} as const satisfies Record<Rate['by'], Stage>
const countedAt = { messages: 'mail', recipients: 'rcpt', bytes: 'complete' } as const

export function rateCheck(rate: Rate, maxEntries: number, nowMs: () => number): Check {
  const counts = new SlidingCounts(rate.windowSeconds * 1_000, maxEntries)
  const countsAt = rate.by === 'recipient' ? 'rcpt' : countedAt[rate.counts]
  return {
    name: `rate-${rate.name}`,
    from: keyKnownAt[rate.by],
    per: countsAt === 'rcpt' ? 'recipient' : 'transaction',
    isRemote: false,
    countsAt,
    find: (question) => judge(rate, counts, question, question.stage === countsAt, nowMs()),
  }
}

function judge(rate: Rate, counts: SlidingCounts, question: Question, isCounted: boolean, nowMs: number): Finding {
  const { transaction, message } = question
  if (transaction.facts.remote.networkClass === 'device' && !rate.countsDevices)
    return found('within', 'devices do not count')
  const key = keyOf(rate, question)
  if (key === null)
    return rate.by === 'remote' || rate.by === 'network' ? unknown('no address') : found('within', `no ${rate.by}`)
  const used = counts.total(key, nowMs)
  const amount = rate.counts === 'bytes' ? (message?.sizeBytes ?? 0) : 1
  const of = `of ${rate.limit} ${rate.counts} in ${rate.windowSeconds} s`
  if (!isCounted) return found(used < rate.limit ? 'within' : 'over', `${used} ${of}`)
  const isWithin = used + amount <= rate.limit
  if (isWithin) counts.add(key, amount, nowMs)
  return found(isWithin ? 'within' : 'over', `${used + amount} ${of}`)
}

function keyOf({ by }: Rate, { transaction, recipient }: Question): string | null {
  const { facts, sender, policy } = transaction
  if (by === 'remote') return facts.remote.ip
  if (by === 'network') return networkOf(transaction)
  if (by === 'recipient') return recipient
  if (by === 'auth-user') return facts.authUser
  if (by === 'sender-domain') return senderDomainOf(transaction)
  return sender === null || sender === '' ? null : normalizedAddress(sender, policy)
}
