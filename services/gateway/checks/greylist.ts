/**
 * Greylisting (RFC 6647): who is new is asked to come again, as mail servers do and most senders of spam do not.
 *
 * Owns    what is known of each network, sender and recipient, over restarts.
 * Leaves  the deferral to a rule: `wait` alone refuses nothing.
 * Limits  `entries`; what is pushed out has to wait once more.
 * Why     by network, not by address: a large sender tries again from another machine. Two gateways do not share
 *         what they know.
 */
import { normalizedAddress } from '../../contracts/address.ts'
import type { Config } from '../../kit/config.ts'
import type { Transaction } from '../session/transaction.ts'
import { found, unknown, type Check, type Finding } from './check.ts'
import type { RememberedTable } from './remembered-table.ts'
import { hashedKey, isStranger, networkOf } from './who.ts'

type Settings = Config['checks']['greylist']

export function greylistCheck(settings: Settings, table: RememberedTable, nowMs: () => number): Check {
  return {
    name: 'greylist',
    from: 'rcpt',
    per: 'recipient',
    isRemote: false,
    find: ({ transaction, recipient }) => judge(settings, table, nowMs(), transaction, recipient ?? ''),
  }
}

/**
 * Of a triplet three numbers: first seen, passed (0: not yet), last seen. Of a network two: triplets that passed, last
 * seen.
 */
export function isGreylistEntryLive(settings: Settings, values: readonly number[], nowMs: number): boolean {
  const last = values.at(-1) ?? 0
  const isWaiting = values.length === 3 && values[1] === 0
  if (isWaiting) return nowMs - values[0]! < settings.retryHours * hourMs
  return nowMs - last < settings.keepDays * 24 * hourMs
}

const hourMs = 3_600_000

function judge(
  settings: Settings,
  table: RememberedTable,
  nowMs: number,
  transaction: Transaction,
  recipient: string,
): Finding {
  if (!isStranger(transaction)) return found('exempt')
  const network = networkOf(transaction)
  if (network === null) return unknown('no address')
  const networkKey = hashedKey('network', network)
  const live = (key: string): readonly number[] | null => {
    const values = table.get(key)
    return values !== undefined && isGreylistEntryLive(settings, values, nowMs) ? values : null
  }
  const passedCount = live(networkKey)?.[0] ?? 0
  if (settings.knownAfter > 0 && passedCount >= settings.knownAfter) {
    table.set(networkKey, [passedCount, nowMs])
    return found('known', 'its network')
  }
  const sender = normalizedAddress(transaction.sender ?? '', transaction.policy)
  const key = hashedKey('triplet', network, sender, recipient)
  const [first, passed = 0] = live(key) ?? []
  if (first === undefined) {
    table.set(key, [nowMs, 0, nowMs])
    return found('wait', `new, for ${settings.delaySeconds} s`)
  }
  const leftMs = settings.delaySeconds * 1_000 - (nowMs - first)
  if (passed === 0 && leftMs > 0) return found('wait', `${Math.ceil(leftMs / 1_000)} s too early`)
  table.set(key, [first, passed === 0 ? nowMs : passed, nowMs])
  if (passed > 0) return found('known')
  table.set(networkKey, [passedCount + 1, nowMs])
  return found('passed', `after ${Math.floor((nowMs - first) / 1_000)} s`)
}
