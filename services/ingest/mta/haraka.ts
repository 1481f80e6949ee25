/**
 * Haraka's log in its default format, with `timestamps=true` in log.ini or in the frame of a syslog.
 *
 * Owns    the grammar of the lines of `core` and the queue plug-ins.
 * Limits  level INFO or more: only there does Haraka tell which plug-in accepted a recipient. Below it a refused one
 *         looks like an accepted one (`code=OK`). Deliveries of its outbound queue are not read.
 */
import type { MtaAdapter } from './assembler.ts'
import { bracketedAddress } from './bracketed-address.ts'
import { HarakaSession, type HarakaRecord } from './haraka-session.ts'
import type { MtaEvents } from './mta-event.ts'
import { noise, type LineFrame, type ReadLine } from './mta-line.ts'
import { syslogFrame } from './syslog-frame.ts'

const stamped = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z) (?=\[|[A-Za-z])/
const tagged = /^\[([A-Z]{1,12})\] \[([0-9A-F]{8}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{12})(?:\.(\d{1,9}))?\] \[([^\]\s]{1,100})\] +/

export function harakaAdapter(events: MtaEvents, host: string): MtaAdapter {
  return {
    source: 'haraka',
    frame: (raw): LineFrame | null => {
      // Colours, where a terminal was the target.
      const plain = raw.includes('\u001b') ? raw.replace(/\u001b\[[0-9;]{0,10}m/g, '') : raw
      const found = stamped.exec(plain)
      return found === null ? syslogFrame(plain) : { stamp: found[1]!, host, program: 'haraka', text: plain.slice(found[0].length) }
    },
    read: readHarakaLine,
    openThread: (line) => new HarakaSession(line, events),
  }
}

export function readHarakaLine(frame: LineFrame, raw: string, timeMs: number): ReadLine {
  const tag = tagged.exec(frame.text)
  if (tag === null) return noise
  const [found, , connection, transaction, plugin] = tag
  const record = harakaRecord(plugin!, frame.text.slice(found.length))
  if (record === null) return noise
  const key = `${frame.host} ${connection}`
  return {
    is: 'thread',
    line: {
      raw, timeMs, host: frame.host, key, session: key,
      begins: record.says === 'connect' ? 'always' : 'never',
      record: { ...record, transaction: Number(transaction ?? 0) },
    },
  }
}

const connect = /^connect ip=([0-9a-fA-F:.]{2,45}) port=(\d{1,5}) /
const message = / size=(\d{1,15}) rcpts=(\d{1,9})\/(\d{1,9})\/(\d{1,9}) delay=[\d.]{1,12} code=([A-Z]{1,16}) msg="(.*)"$/
const disconnect = /^disconnect ip=\S{2,45} rdns=(\S{1,300}) helo=("[^"]*"|\S{1,300}) relay=[YN] .* tls=([YN]) .* rcpts=(\d{1,9})\/(\d{1,9})\/(\d{1,9}) msgs=/
const hook = /^hook=rcpt .* params=(<.*>) retval=(OK|CONT|DENY|DENYSOFT)\b/

function harakaRecord(plugin: string, text: string): HarakaRecord | null {
  if (plugin === 'queue/smtp_forward' || plugin === 'queue/smtp_proxy') {
    const to = /^forwarding to (\S{1,255}):(\d{1,5})$/.exec(text)
    return to === null ? null : { says: 'forwarding', host: to[1]!, port: Number(to[2]) }
  }
  if (plugin !== 'core') return null
  const connected = connect.exec(text)
  if (connected !== null) return { says: 'connect', ip: connected[1]!, port: Number(connected[2]) }
  if (text.startsWith('sender <') || text.startsWith('recipient <')) return addressRecord(text)
  const hooked = text.startsWith('hook=rcpt ') ? hook.exec(text) : null
  if (hooked !== null) {
    const scanned = bracketedAddress(hooked[1]!, 0)
    return scanned === null ? null : { says: 'decided', address: scanned.address, isAccepted: hooked[2] === 'OK' }
  }
  if (text.startsWith('message mid=')) {
    const found = message.exec(text)
    const id = bracketedAddress(text, 12)
    return found === null ? null : { says: 'message', messageId: id === null ? null : `<${id.address}>`, sizeBytes: Number(found[1]), refusedCount: Number(found[4]) + Number(found[3]), code: found[5]!, text: found[6]! }
  }
  const queued = /^queue code=([A-Z]{1,16}) msg="(.*)"$/.exec(text)
  if (queued !== null) return { says: 'queued', code: queued[1]!, text: queued[2]!.replace(/ \([0-9A-F-]{36}\.\d+\)$/, '') }
  const gone = text.startsWith('disconnect ') ? disconnect.exec(text) : null
  if (gone === null) return null
  const helo = gone[2]!.replace(/^"|"$/g, '')
  return { says: 'disconnect', name: /^(?:NXDOMAIN|DNSERROR|Unknown|undefined)$/i.test(gone[1]!) ? null : gone[1]!, helo: helo === '' ? null : helo, refusedCount: Number(gone[5]) + Number(gone[6]), lastReply: / lr="(.*)" time=[\d.]{1,12}$/.exec(text)?.[1] ?? '' }
}

function addressRecord(text: string): HarakaRecord | null {
  const at = text.indexOf('<')
  const scanned = bracketedAddress(text, at)
  const code = scanned === null ? null : /^ code=([A-Z]{1,16}) msg="(.*?)"(?: sender=.*)?$/.exec(text.slice(scanned.end))
  if (scanned === null || code === null) return null
  return { says: at === 7 ? 'sender' : 'recipient', address: scanned.address, code: code[1]!, text: code[2]! }
}
