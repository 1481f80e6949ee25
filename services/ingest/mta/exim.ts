/**
 * Exim's main log, by the message ids that it writes: 6-6-2 characters, or 6-11-4 from version 4.97.
 *
 * Owns    the grammar of its lines; what they mean together is exim-message.ts.
 * Limits  Exim logs no session: a refused recipient stands alone, also where others of its transaction were accepted.
 */
import type { MtaAdapter } from './assembler.ts'
import { bracketedAddress } from './bracketed-address.ts'
import { EximMessage, EximRefusal, type EximRecord } from './exim-message.ts'
import type { MtaEvents } from './mta-event.ts'
import { noise, unknown, type LineFrame, type ReadLine } from './mta-line.ts'

const head = /^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,9})?(?: [+-]\d{4})?) (?:\[(\d{1,10})\] )?/
const messageId = /^([0-9A-Za-z]{6}-[0-9A-Za-z]{6}-[0-9A-Za-z]{2}|[0-9A-Za-z]{6}-[0-9A-Za-z]{11}-[0-9A-Za-z]{4}) /

export function eximAdapter(events: MtaEvents, host: string): MtaAdapter {
  return {
    source: 'exim',
    frame: (raw): LineFrame | null => {
      const found = head.exec(raw)
      return found === null ? null : { stamp: found[1]!, host, program: `exim[${found[2] ?? ''}]`, text: raw.slice(found[0].length) }
    },
    read: readEximLine,
    openThread: (line, links) => ((line.record as EximRecord).says === 'rejected' ? new EximRefusal(events, links) : new EximMessage(line, events)),
  }
}

export function readEximLine(frame: LineFrame, raw: string, timeMs: number): ReadLine {
  const { host, text } = frame
  const id = messageId.exec(text)
  const rest = id === null ? text : text.slice(id[0].length)
  const record = eximRecord(rest, id !== null)
  if (record === null) return noise
  if (record === 'malformed') return unknown('malformed')
  // A refusal is whole in one line; the key only has to be its own.
  if (record.says === 'rejected') return { is: 'thread', line: { raw, timeMs, host, key: `${host} refused ${raw}`, begins: 'always', session: null, record } }
  return { is: 'thread', line: { raw, timeMs, host, key: `${host} ${id![1]}`, begins: record.says === 'arrived' ? 'always' : 'never', session: null, record } }
}

function eximRecord(rest: string, hasId: boolean): EximRecord | 'malformed' | null {
  if (hasId) {
    if (rest.startsWith('<= ')) return arrivalOf(rest.slice(3)) ?? 'malformed'
    if (rest === 'Completed' || rest.startsWith('Completed ')) return { says: 'completed' }
    const flag = rest.slice(0, 3)
    if (flag === '=> ' || flag === '-> ' || flag === '>> ') return deliveryOf(rest.slice(3), 'delivered') ?? 'malformed'
    if (flag === '** ') return deliveryOf(rest.slice(3), 'failed') ?? 'malformed'
    if (flag === '== ') return deliveryOf(rest.slice(3), 'deferred') ?? 'malformed'
  }
  return refusalOf(rest)
}

/** An address without brackets, quotes minded, up to the next blank. */
function bareAddress(text: string, at: number): { address: string; end: number } | null {
  let isQuoted = false
  let index = at
  for (; index < text.length; index += 1) {
    const character = text[index]!
    if (isQuoted) {
      if (character === '\\') index += 1
      else if (character === '"') isQuoted = false
    } else if (character === '"') isQuoted = true
    else if (character === ' ') break
  }
  return isQuoted || index === at ? null : { address: text.slice(at, index), end: index }
}

const hostField = /^ H=(?:([^\s()[\]]{1,255}) )?(?:\(([^\s()]{0,255})\) )?\[([0-9a-fA-F:.]{2,45})\](?::(\d{1,5}))?/

function arrivalOf(text: string): EximRecord | null {
  const sender = bareAddress(text, 0)
  if (sender === null) return null
  let at = sender.end
  const from = hostField.exec(text.slice(at))
  if (from !== null) at += from[0].length
  // Up to the size everything is Exim's own; Message-ID and subject behind it are the remote's.
  const fields = /^((?: [A-Za-z0-9]{1,8}(?:[-.*]|=(?:"(?:[^"\\]|\\.){0,1000}"|[^\s"]{1,300}))?)*?) S=(\d{1,15})(?= |$)/.exec(text.slice(at))
  if (fields === null) return null
  at += fields[0].length
  const known = ` ${fields[1]} `
  const tls = / X=([^:\s]+):([^:\s]+)/.exec(known)
  const rest = text.slice(at)
  const subject = / T="((?:[^"\\]|\\.){0,2000})"/.exec(rest)
  const id = /^(?: (?:RT|M8S|DKIM|Q)=\S{1,300})* id=(\S{1,1000})/.exec(rest)
  return {
    says: 'arrived',
    sender: sender.address === '<>' ? '' : sender.address,
    remote: { ip: from?.[3] ?? null, port: from?.[4] === undefined ? null : Number(from[4]), name: from?.[1] ?? null },
    helo: from?.[2] ?? null,
    tls: tls === null ? null : { version: tls[1]!, cipher: tls[2]! },
    user: / A=[^:\s]+:([^\s]+)/.exec(known)?.[1] ?? null,
    sizeBytes: Number(fields[2]),
    messageId: id === null ? null : `<${id[1]}>`,
    subject: subject === null ? null : subject[1]!.replace(/\\(.)/g, '$1'),
    recipients: recipientsOf(rest),
  }
}

/** The list of `log_selector = +received_recipients`, where the line ends with one from exactly one place. */
function recipientsOf(rest: string): string[] | null {
  const lists: string[][] = []
  let tried = 0
  for (let at = rest.indexOf(' for '); at >= 0 && tried < 8; at = rest.indexOf(' for ', at + 1), tried += 1) {
    const list: string[] = []
    let index = at + 5
    while (index < rest.length) {
      const found = bareAddress(rest, index)
      if (found === null || !found.address.includes('@')) break
      list.push(found.address)
      index = found.end + 1
    }
    if (index >= rest.length && list.length > 0) lists.push(list)
  }
  return lists.length === 1 ? lists[0]! : null
}

/** A pipe's command may hold blanks; whom it is for stands behind it. */
function pipeCommand(text: string): { address: string; end: number } | null {
  const end = / <\S{1,320}> R=/.exec(text)?.index
  return end === undefined ? null : { address: text.slice(0, end), end }
}

function deliveryOf(text: string, outcome: 'delivered' | 'failed' | 'deferred'): EximRecord | null {
  const final = text.startsWith('|') ? pipeCommand(text) : bareAddress(text, 0)
  if (final === null) return null
  let at = final.end
  const parent = /^ \([^()]{1,1000}\)/.exec(text.slice(at))
  if (parent !== null) at += parent[0].length
  const original = text.startsWith(' <', at) ? bracketedAddress(text, at + 1) : null
  if (original !== null) at = original.end
  const rest = text.slice(at)
  const address = final.address.replace(/:$/, '')
  const reason = outcome === 'deferred' ? / defer \(-?\d{1,6}\)(?: H=\S{1,255} \[[^\]]{1,50}\](?::\d{1,5})?)?(?: [A-Z]{1,4}=\S{1,300})*: (.*)$/.exec(rest)?.[1] : outcome === 'failed' ? rest.slice(rest.indexOf(': ') + 2) : undefined
  const hop = / H=([^\s()[\]]{1,255}) \[([0-9a-fA-F:.]{2,45})\](?::(\d{1,5}))?/.exec(rest)
  return {
    says: 'delivery',
    address,
    original: original?.address ?? address,
    outcome,
    host: hop?.[1] ?? / T=(\S{1,100}?):? /.exec(`${rest} `)?.[1] ?? 'none',
    port: Number(hop?.[3] ?? 0),
    confirmation: / C="((?:[^"\\]|\\.){0,1000})"/.exec(rest)?.[1] ?? null,
    text: reason ?? '',
  }
}

const refusedVerb = /^ (?:[A-Za-z]{1,3}=\S{1,300} )*(temporarily )?rejected (RCPT|MAIL|after DATA|during MIME ACL checks|by local_scan\(\)|DATA|EHLO or HELO|connection|AUTH|VRFY|EXPN|ETRN|STARTTLS)\b/

function refusalOf(rest: string): EximRecord | 'malformed' | null {
  if (!rest.startsWith('H=')) return null
  const from = hostField.exec(` ${rest}`)
  if (from === null) return null
  let at = from[0].length - 1
  const sender = /^(?: [A-EG-Z][A-Za-z0-9]{0,7}=\S{1,300})* F=</.exec(rest.slice(at))
  let address: string | null = null
  if (sender !== null) {
    const scanned = bracketedAddress(rest, at + sender[0].length - 1)
    if (scanned === null) return 'malformed'
    address = scanned.address
    at = scanned.end
  }
  const verb = refusedVerb.exec(rest.slice(at))
  if (verb === null) return null
  at += verb[0].length
  let to: string | null = null
  if (verb[2] === 'RCPT') {
    const scanned = rest[at] === ' ' ? bracketedAddress(rest, at + 1) : null
    if (scanned === null) return 'malformed'
    to = scanned.address
    at = scanned.end
  }
  const colon = rest.indexOf(': ', at)
  return {
    says: 'rejected',
    verb: verb[2]!,
    remote: { ip: from[3]!, port: from[4] === undefined ? null : Number(from[4]), name: from[1] ?? null },
    helo: from[2] ?? null,
    sender: address,
    to,
    reply: { code: verb[1] === undefined ? 550 : 451, enhanced: null, text: colon < 0 ? '' : rest.slice(colon + 2) },
  }
}
