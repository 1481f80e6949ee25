/** The frame that syslog puts around a line: RFC 3164, RFC 5424, or the ISO time that rsyslog and journald write. */
import type { LineFrame } from './mta-line.ts'

const priority = '(?:<\\d{1,3}>)?'
const rfc5424 = new RegExp(`^${priority}1 (\\S{19,40}) (\\S{1,255}) (\\S{1,100}) (\\S{1,100}) \\S{1,100} (?:-|(?:\\[(?:[^\\]\\\\]|\\\\.){0,2000}\\]){1,16}) ?(?:\\ufeff)?`)
const plain = new RegExp(
  `^${priority}([A-Z][a-z]{2} [ \\d]\\d \\d\\d:\\d\\d:\\d\\d|\\d{4}-\\d\\d-\\d\\d[T ]\\d\\d:\\d\\d:\\d\\d(?:[.,]\\d{1,9})?(?:Z|[+-]\\d\\d:?\\d\\d)?) (\\S{1,255}) ([^\\s:\\[]{1,100})(?:\\[(\\d{1,10})\\])?: ?`,
)

/** `program` is name and process, as `postfix/smtpd[123]`; `null`: no line of a syslog. */
export function syslogFrame(raw: string): LineFrame | null {
  const modern = rfc5424.exec(raw)
  if (modern !== null) {
    const [head, stamp, host, name, process] = modern
    return { stamp: stamp!, host: host!, program: process === '-' ? name! : `${name}[${process}]`, text: raw.slice(head.length) }
  }
  const match = plain.exec(raw)
  if (match === null) return null
  const [head, stamp, host, name, process] = match
  return { stamp: stamp!, host: host!, program: process === undefined ? name! : `${name}[${process}]`, text: raw.slice(head.length) }
}
