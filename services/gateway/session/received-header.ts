/** The trace line that the gateway puts before a message (RFC 5321 §4.4, RFC 3848, RFC 6531 §3.7.3). */
import type { Transaction } from './transaction.ts'
import { acceptedRecipients } from './transaction.ts'

export function receivedHeader(transaction: Transaction, hostname: string, nowMs: number): string {
  const { facts } = transaction
  const accepted = acceptedRecipients(transaction)
  // With several recipients the line would tell each of the others.
  const forWhom = accepted.length === 1 ? `\r\n\tfor <${accepted[0]!.address}>` : ''
  const ip =
    facts.remote.ip === null
      ? 'unknown'
      : facts.remote.ip.includes(':')
        ? `[IPv6:${facts.remote.ip}]`
        : `[${facts.remote.ip}]`
  const name = facts.remote.reverseName === null ? ip : `${facts.remote.reverseName} ${ip}`
  return (
    `Received: from ${facts.helo ?? 'unknown'} (${name})\r\n` +
    `\tby ${hostname} (Tollgate) with ${protocolOf(transaction)} id ${transaction.id}${forWhom};\r\n` +
    `\t${rfc5322Date(nowMs)}\r\n`
  )
}

function protocolOf({ facts, isSmtpUtf8 }: Transaction): string {
  if (!facts.isExtended) return 'SMTP'
  const base = isSmtpUtf8 ? 'UTF8SMTP' : 'ESMTP'
  return `${base}${facts.tls === null ? '' : 'S'}${facts.authUser === null ? '' : 'A'}`
}

export function rfc5322Date(timeMs: number): string {
  return new Date(timeMs).toUTCString().replace('GMT', '+0000')
}
