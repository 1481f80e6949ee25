/** HELO and EHLO (RFC 5321 §4.1.1.1): who the remote says it is. */
import { reply, type Reply } from '../session/reply.ts'
import { isAscii } from './path.ts'

export type HeloOutcome = { reply: Reply } | { helo: string }

/** Longest name that is kept; RFC 1035 allows 255 octets. */
const nameBytes = 255

/**
 * Any one word is a name: printers send bare IPs and broken ones (SYSTEMS P2), and so do some servers. What a name
 * is worth is for rules to say.
 */
export function helo(argument: string): HeloOutcome {
  const name = argument.trim()
  if (name === '') return { reply: reply(501, '5.5.4', 'Say who you are: EHLO your.host.name') }
  if (name.length > nameBytes || !isAscii(name) || !/^[\x21-\x7e]+$/.test(name)) {
    return { reply: reply(501, '5.5.4', 'Malformed host name') }
  }
  return { helo: name }
}

/** What EHLO offers is what works (RFC 1869, 2920, 1870, 6152, 6531, 2034, 3030, 3207, 4954). */
export function extensions(messageBytes: number, mayStartTls: boolean, mechanisms: readonly string[], hasReports: boolean): string[] {
  const offered = ['PIPELINING', `SIZE ${messageBytes}`, '8BITMIME', 'SMTPUTF8', 'CHUNKING', 'ENHANCEDSTATUSCODES']
  if (hasReports) offered.push('DSN')
  if (mechanisms.length > 0) offered.push(`AUTH ${mechanisms.join(' ')}`)
  return mayStartTls ? [...offered, 'STARTTLS'] : offered
}
