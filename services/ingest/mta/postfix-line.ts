/**
 * One line of Postfix's log, as what it says.
 *
 * Owns    the grammar of the lines that tell of mail.
 * Leaves  what they mean together to postfix-message.ts and postfix-session.ts.
 * Why     remotes choose addresses, names and the texts of replies. A form that ends with remote text is read from its
 *         beginning; one that ends in Postfix's own words (`; from=<…> to=<…> proto=… helo=<…>`) must fit to the last
 *         character from exactly one place. What fits from two is ambiguous, and is listed instead of believed.
 * Limits  linear in the length of the line.
 */
import type { Reply, Tls } from '../../contracts/event.ts'
import type { Reason } from '../../contracts/vocabulary.ts'
import { bracketedAddress } from './bracketed-address.ts'
import { replyOf } from './mta-event.ts'
import { noise, unknown, type LineFrame, type ReadLine } from './mta-line.ts'

export type PostfixClient = { name: string | null; ip: string | null; port: number | null }
export type PostfixReject = {
  says: 'reject'
  verb: string
  client: PostfixClient
  reply: Reply
  from: string | null
  to: string | null
  helo: string | null
  declaredSizeBytes: null
}
export type PostfixDelivery = {
  says: 'delivery'
  to: string
  origTo: string | null
  relay: string
  /** Seconds in the queue, and of them in the last try. */
  trySeconds: number
  status: string
  text: string
}

export type PostfixRecord =
  | { says: 'connect'; client: PostfixClient }
  | { says: 'disconnect' }
  | { says: 'broken-off'; during: string; dataBytes: number }
  | { says: 'tls'; tls: Tls }
  | { says: 'client'; client: PostfixClient; user: string | null; originalQueueId: string | null }
  | { says: 'pickup' }
  | PostfixReject
  | { says: 'message-id'; messageId: string }
  | { says: 'subject'; subject: string }
  | { says: 'content-refused'; outcome: 'refused' | 'deferred' | 'discarded'; reject: PostfixReject | null; reason: Reason | null }
  | { says: 'set-aside'; outcome: 'discarded' | 'quarantined'; sender: string | null; to: string | null; helo: string | null }
  | { says: 'active'; from: string; sizeBytes: number; recipientCount: number }
  | PostfixDelivery
  | { says: 'expired' }
  | { says: 'removed' }
  | { says: 'deleted' }

const queueId = /^([0-9A-F]{6,21}|[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,24}|NOQUEUE): /
const tooBig = /^warning: ([0-9A-Za-z]{6,24}): queue file size limit exceeded$/
/** These refuse no mail. */
const otherVerbs = /^(?:milter-|proxy-)?reject: (?:VRFY|ETRN|EXPN|UNKNOWN)\b/
const rejects = /^(?:milter-|proxy-)?reject: /
const program = /^([\w.-]+)(?:\/[\w.-]+)*\/([\w-]+)(?:\[(\d+)\])?$/
const queueless = 'NOQUEUE'

export function readPostfixLine(frame: LineFrame, raw: string, timeMs: number): ReadLine {
  const named = program.exec(frame.program)
  if (named === null) return noise
  const [, instance, daemon, process] = named
  const { host, text } = frame
  const session = `${host} ${frame.program}`
  // One postscreen serves many at a time.
  const sessionOf = (client: PostfixClient | null): string =>
    daemon === 'postscreen' && client !== null ? `${session} ${client.ip} ${client.port}` : session
  const ofSession = (record: PostfixRecord, key: string): ReadLine => ({ is: 'thread', line: { raw, timeMs, host, key, begins: record.says === 'connect' ? 'always' : 'alone', session: key, record } })

  const big = daemon === 'smtpd' ? tooBig.exec(text) : null
  const id = big ?? queueId.exec(text)
  if (id === null) {
    if (daemon === 'postscreen') {
      const gone = /^(?:DISCONNECT|HANGUP after [\d.]{1,20} from) (\[.{1,100})$/.exec(text)
      const found = gone === null ? null : clientOf(`unknown${gone[1]}`)
      return found === null ? noise : ofSession({ says: 'disconnect' }, sessionOf(found.client))
    }
    const record = daemon === 'smtpd' ? sessionRecord(text) : null
    return record === null ? noise : ofSession(record, session)
  }
  const rest = big === null ? text.slice(id[0].length) : text
  if (id[1] === queueless) {
    if (otherVerbs.test(rest)) return noise
    const aside = daemon === 'smtpd' ? setAsideOf(rest) : null
    if (aside !== null) return ofSession(aside, session)
    if (!rejects.test(rest)) return noise
    const reject = rejectOf(rest)
    if (typeof reject === 'string') return unknown(reject)
    return process === undefined ? unknown('malformed') : ofSession(reject, sessionOf(reject.client))
  }
  const key = `${host} ${instance} ${id[1]}`
  const record = messageRecord(daemon!, rest)
  if (record === null) return noise
  if (typeof record === 'string') return unknown(record)
  // What cleanup tells first may be the first line of a message that Postfix made itself, as a bounce.
  const begins = record.says === 'client' || record.says === 'pickup' ? 'always' : record.says === 'message-id' || record.says === 'subject' ? 'alone' : 'never'
  return { is: 'thread', line: { raw, timeMs, host, key, begins, session: record.says === 'client' && daemon === 'smtpd' ? session : null, record } }
}

export const instanceAndId = (key: string): string[] => key.split(' ').slice(1)

const client = /^([^\s[\]]{1,255})\[([^\s[\]]{1,100})\](?::(\d{1,5}|unknown))?/
const brokenOff = /^(?:lost connection|timeout|too many errors) after ([A-Z-]{1,20})(?: \((\d{1,15}) bytes\))? from /
const tlsLine = /^(?:Anonymous|Trusted|Untrusted|Verified) TLS connection established from .{1,400}?: (\S{1,30}) with cipher (\S{1,80})/

function clientOf(text: string): { client: PostfixClient; end: number } | null {
  const match = client.exec(text)
  if (match === null) return null
  const [head, name, ip, port] = match
  return {
    client: {
      name: name === 'unknown' ? null : name!,
      ip: ip === 'unknown' || !/^[0-9a-fA-F:.]+$/.test(ip!.replace(/^IPv6:/, '')) ? null : ip!.replace(/^IPv6:/, ''),
      port: port === undefined || port === 'unknown' ? null : Number(port),
    },
    end: head.length,
  }
}

function sessionRecord(text: string): PostfixRecord | null {
  if (text.startsWith('connect from ')) {
    const found = clientOf(text.slice(13))
    return found === null ? null : { says: 'connect', client: found.client }
  }
  if (text.startsWith('disconnect from ')) return { says: 'disconnect' }
  const broken = brokenOff.exec(text)
  if (broken !== null) return { says: 'broken-off', during: broken[1]!, dataBytes: Number(broken[2] ?? 0) }
  const tls = tlsLine.exec(text)
  return tls === null ? null : { says: 'tls', tls: { version: tls[1]!, cipher: tls[2]! } }
}

function messageRecord(daemon: string, rest: string): PostfixRecord | 'malformed' | 'ambiguous' | null {
  if (rest.startsWith('to=<')) return deliveryOf(rest)
  if (daemon === 'smtpd' || daemon === 'qmqpd') {
    if (rest.startsWith('client=')) return acceptedClient(rest.slice(7))
    if (tooBig.test(rest)) return { says: 'content-refused', outcome: 'refused', reject: null, reason: 'size-limit' }
    return rejects.test(rest) && !otherVerbs.test(rest) ? rejectOf(rest) : setAsideOf(rest)
  }
  if (daemon === 'pickup') return rest.startsWith('uid=') ? { says: 'pickup' } : null
  if (daemon === 'qmgr') return queueRecord(rest)
  if (daemon === 'postsuper') return rest === 'removed' ? { says: 'deleted' } : null
  return daemon === 'cleanup' ? cleanupRecord(rest) : null
}

function acceptedClient(text: string): PostfixRecord | 'malformed' {
  const found = clientOf(text)
  if (found === null) return 'malformed'
  const more = /^(?:, orig_queue_id=([^,\s]{1,100}))?(?:, orig_client=[^,\s]{1,400})?(?:, sasl_method=[^,\s]{1,60})?(?:, sasl_username=([^,\s]{1,300}))?/.exec(text.slice(found.end))
  return { says: 'client', client: found.client, user: more?.[2] ?? null, originalQueueId: more?.[1] ?? null }
}

function queueRecord(rest: string): PostfixRecord | 'malformed' | null {
  if (rest === 'removed') return { says: 'removed' }
  if (!rest.startsWith('from=<')) return null
  const from = bracketedAddress(rest, 5)
  if (from === null) return 'malformed'
  const after = rest.slice(from.end)
  if (/^, status=(?:force-)?expired, returned to sender/.test(after)) return { says: 'expired' }
  const active = /^, size=(\d{1,15}), nrcpt=(\d{1,9}) \(queue active\)$/.exec(after)
  // Something that cannot be read stands between: what it says of the message must be seen to be missing.
  return active === null ? 'malformed' : { says: 'active', from: from.address, sizeBytes: Number(active[1]), recipientCount: Number(active[2]) }
}

function cleanupRecord(rest: string): PostfixRecord | null {
  if (rest.startsWith('message-id=')) return { says: 'message-id', messageId: rest.slice(11) }
  if (rest.startsWith('warning: header Subject:')) {
    // Only the subject is taken, and it may hold what it likes: the last such words are Postfix's own.
    const end = rest.lastIndexOf('; from=<')
    const from = end < 0 ? -1 : rest.lastIndexOf(' from ', end)
    return from < 0 ? null : { says: 'subject', subject: rest.slice('warning: header Subject:'.length, from).trim() }
  }
  const refused = /^(milter-)?(reject|discard|hold): /.exec(rest)
  if (refused === null) return null
  if (refused[2] === 'hold') return setAsideOf(rest)
  if (refused[2] === 'discard') return { says: 'content-refused', outcome: 'discarded', reject: contentRejectOf(rest), reason: null }
  const reject = refused[1] === undefined ? null : rejectOf(rest)
  if (reject !== null && typeof reject !== 'string') {
    return { says: 'content-refused', outcome: reject.reply.code < 500 ? 'deferred' : 'refused', reject, reason: null }
  }
  const words = /: ([45])\.\d{1,3}\.\d{1,3} [^;]*$/.exec(rest.slice(-400))
  const content = contentRejectOf(rest)
  const isTemporary = content === null ? words?.[1] === '4' : content.reply.code < 500
  return { says: 'content-refused', outcome: isTemporary ? 'deferred' : 'refused', reject: content, reason: null }
}

/** `reject: header Subject: … from name[ip]; from=<…> to=<…> proto=… helo=<…>: 5.7.1 words`. */
function contentRejectOf(rest: string): PostfixReject | null {
  const tail = lastTail(tailsOf(rest, true))
  if (tail === null) return null
  const before = rest.slice(0, tail.start)
  const from = before.lastIndexOf(' from ')
  const found = from < 0 ? null : clientOf(before.slice(from + 6))
  if (found === null) return null
  const words = /^: (?:([45]\.\d{1,3}\.\d{1,3}) )?(.*)$/.exec(tail.words)
  const enhanced = words?.[1] ?? null
  return { says: 'reject', verb: 'END-OF-MESSAGE', client: found.client, reply: { code: enhanced?.startsWith('4') === true ? 450 : 550, enhanced, text: words?.[2] ?? '' }, ...namesOf(tail), declaredSizeBytes: null }
}

/** `hold: RCPT from …; from=<…> to=<…> proto=… helo=<…>`, where not all of the message's recipients are named. */
function setAsideOf(rest: string): PostfixRecord | null {
  const action = /^(?:milter-)?(hold|discard): /.exec(rest)
  if (action === null) return null
  const tail = lastTail(tailsOf(rest, true))
  return { says: 'set-aside', outcome: action[1] === 'hold' ? 'quarantined' : 'discarded', sender: tail?.from ?? null, to: tail?.to ?? null, helo: tail?.helo ?? null }
}

const screenFull = /^\[([^\s[\]]{1,100})\]:(\d{1,5}): (too many connections|all (?:screening|server) ports busy)$/

/** `reject: RCPT from name[ip]: 550 5.1.1 words; from=<…> to=<…> proto=… helo=<…>`. */
function rejectOf(rest: string): PostfixReject | 'malformed' | 'ambiguous' {
  const head = /^(?:milter-)?reject: ([A-Z-]{1,20}) from /.exec(rest)
  if (head === null) return proxyRejectOf(rest)
  const after = rest.slice(head[0].length)
  const full = head[1] === 'CONNECT' ? screenFull.exec(after) : null
  if (full !== null) {
    // postscreen logs no more; it answers 421.
    const busy = { name: null, ip: full[1]!, port: Number(full[2]) }
    return { says: 'reject', verb: 'CONNECT', client: busy, reply: { code: 421, enhanced: null, text: full[3]! }, from: null, to: null, helo: null, declaredSizeBytes: null }
  }
  // postscreen: [ip]:port.
  const found = clientOf(after.startsWith('[') ? `unknown${after}` : after)
  if (found === null) return 'malformed'
  const colon = after.indexOf(': ', found.end - (after.startsWith('[') ? 7 : 0))
  if (colon < 0) return 'malformed'
  const tails = tailsOf(after, false)
  if (tails.length !== 1) return tails.length === 0 ? 'malformed' : 'ambiguous'
  const said = after.slice(colon + 2, tails[0]!.start)
  const milter = /^([45])(\.\d{1,3}\.\d{1,3}) (.*)$/.exec(said)
  const reply = replyOf(said) ?? (milter === null ? null : { code: milter[1] === '4' ? 450 : 550, enhanced: `${milter[1]}${milter[2]}`, text: milter[3]! })
  if (reply === null) return 'malformed'
  return { says: 'reject', verb: head[1]!, client: found.client, reply, ...namesOf(tails[0]!), declaredSizeBytes: null }
}

/** `proxy-reject: END-OF-MESSAGE: 554 5.7.0 words; from=<…> to=<…> proto=… helo=<…>`: a filter before the queue. */
function proxyRejectOf(rest: string): PostfixReject | 'malformed' | 'ambiguous' {
  const head = /^proxy-reject: ([A-Z-]{1,20}): /.exec(rest)
  if (head === null) return 'malformed'
  const tails = tailsOf(rest, false)
  if (tails.length !== 1) return tails.length === 0 ? 'malformed' : 'ambiguous'
  const reply = replyOf(rest.slice(head[0].length, tails[0]!.start))
  if (reply === null) return 'malformed'
  return { says: 'reject', verb: head[1]!, client: { name: null, ip: null, port: null }, reply, ...namesOf(tails[0]!), declaredSizeBytes: null }
}

type Tail = { start: number; end: number; from: string | null; to: string | null; helo: string | null; words: string }

const namesOf = ({ from, to, helo }: Tail): Pick<PostfixReject, 'from' | 'to' | 'helo'> => ({ from, to, helo })
const mostTails = 16

/** Every place from which the line fits to its end as Postfix writes the end. */
function tailsOf(text: string, hasWords: boolean): Tail[] {
  const tails: Tail[] = []
  let count = 0
  for (let at = text.indexOf('; '); at >= 0; at = text.indexOf('; ', at + 2)) {
    if (!/^(?:from=<|to=<|proto=)/.test(text.slice(at + 2, at + 8))) continue
    if ((count += 1) > mostTails) return []
    const tail = tailAt(text, at, hasWords)
    if (tail !== null) tails.push(tail)
  }
  return tails
}

/**
 * The content stands before Postfix's own words, and none of the remote's behind them: what fits last is Postfix's,
 * unless it stands within another, as a part of an address that looks like it.
 */
function lastTail(tails: readonly Tail[]): Tail | null {
  const last = tails.at(-1)
  return last === undefined || tails.some((tail) => tail !== last && tail.end > last.start) ? null : last
}

function tailAt(text: string, start: number, hasWords: boolean): Tail | null {
  let at = start + 2
  const tail: Tail = { start, end: start, from: null, to: null, helo: null, words: '' }
  for (const name of ['from', 'to'] as const) {
    if (!text.startsWith(`${name}=<`, at)) continue
    const scanned = bracketedAddress(text, at + name.length + 1)
    if (scanned === null) return null
    tail[name] = scanned.address
    at = scanned.end
    while (text[at] === ',' || text[at] === ' ') at += 1
  }
  const rest = /^proto=[A-Za-z]{1,10}(?:,? helo=<([^<>\s]*)>)?(?:,? sasl_username=<[^<>\s]*>)?/.exec(text.slice(at))
  if (rest === null) return null
  tail.helo = rest[1] ?? null
  tail.end = at + rest[0].length
  tail.words = text.slice(tail.end)
  return tail.words === '' || (hasWords && tail.words.startsWith(': ')) ? tail : null
}

const deliveryRest =
  /^relay=([^,]{1,400}), (?:conn_use=\d{1,9}, )?delay=[\d.]{1,20}(?:, delays=[\d.]{1,20}\/[\d.]{1,20}\/([\d.]{1,20})\/([\d.]{1,20}))?, (?:dsn=[\d.]{1,20}, )?status=([a-zA-Z]{1,20})(?: (.*))?$/

function deliveryOf(rest: string): PostfixDelivery | 'malformed' | 'ambiguous' {
  const to = bracketedAddress(rest, 3)
  if (to === null || !rest.startsWith(', ', to.end)) return 'malformed'
  let at = to.end + 2
  let origTo: string | null = null
  if (rest.startsWith('orig_to=<', at)) {
    const original = bracketedAddress(rest, at + 8)
    if (original === null || !rest.startsWith(', ', original.end)) return 'malformed'
    origTo = original.address
    at = original.end + 2
  }
  const match = deliveryRest.exec(rest.slice(at))
  if (match === null) return 'malformed'
  const [, relay, connecting, sending, status, said = ''] = match
  // An address written without its quotes (info_log_addr_form = internal) could bring a whole delivery along.
  if (bringsDelivery(said)) return 'ambiguous'
  return {
    says: 'delivery', to: to.address, origTo, relay: relay!, status: status!,
    trySeconds: Number(connecting ?? 0) + Number(sending ?? 0),
    text: said.replace(/^\(/, '').replace(/\)$/, ''),
  }
}

function bringsDelivery(said: string): boolean {
  let count = 0
  for (let at = said.indexOf('>, '); at >= 0; at = said.indexOf('>, ', at + 3)) {
    if (said.startsWith('relay=', at + 3) || said.startsWith('orig_to=<', at + 3)) {
      if ((count += 1) > mostTails || said.startsWith('orig_to=<', at + 3) || deliveryRest.test(said.slice(at + 3))) return true
    }
  }
  return false
}
