/**
 * One message as text for a terminal: the same that the API's detail holds, section by section.
 *
 * Why  every line goes through `visibleText`: nothing that came with mail can act on the terminal. Where the width is
 *      known, lines are broken there, with their continuation set in.
 */
import type { MessageDetail, RuleStep, TimelineEntry, UsageEntry } from '../contracts/api.ts'
import type { CheckResult } from '../contracts/event.ts'
import { visibleText } from '../kit/visible-text.ts'
import { messageStory, replyText, unknownValue } from './message-story.ts'

export type MessageTextOptions = {
  timeZone: string
  /** Columns of the terminal; `null`: lines are left as long as they are. */
  width: number | null
}

export function messageText(detail: MessageDetail, options: MessageTextOptions): string {
  const time = timeTextIn(options.timeZone)
  const [head, story] = messageStory(detail, time) as [string, string]
  const sections: [string, string[]][] = [
    ['Timeline', detail.timeline.map((entry) => timelineLine(entry, detail, time))],
    [`Rules, weight ${detail.event.weight}${limitsText(detail)}`, ruleLines(detail)],
    ['Checks', [...detail.event.checks, ...detail.event.plugins].map(checkLine)],
    [`Recipients (${detail.event.recipients.length})`, recipientLines(detail)],
    ['Deliveries', deliveryLines(detail, time)],
    ['Size and billing', billingLines(detail)],
    ['Envelope', envelopeLines(detail)],
    ['Near', detail.near.map((one) => `${one.label} (${one.count})  tollgate trace '${one.query.replaceAll("'", `'\\''`)}'`)],
  ]
  const lines = [head, story]
  for (const [title, content] of sections) {
    if (content.length > 0) lines.push('', title, ...content.map((line) => `  ${line}`))
  }
  return lines.map((line) => `${brokenAt(visibleText(line), options.width)}\n`).join('')
}

function timeTextIn(timeZone: string): (iso: string) => string {
  const local = new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short', timeStyle: 'medium' })
  return (iso) => `${local.format(new Date(iso))}.${iso.slice(20, 23) || '000'}`
}

const untimed = ' '.repeat(23)

function timelineLine(entry: TimelineEntry, { event, deliveries, session, finished }: MessageDetail, time: (iso: string) => string): string {
  const took = entry.durationUs === null ? '' : `  ${durationText(entry.durationUs)}`
  const at = (entry.at === null ? untimed : time(entry.at)).padEnd(23)
  const text = {
    connected: () => `connected  ${event.remote.ip ?? unknownValue}${event.remote.reverseName === null ? '' : ` (${event.remote.reverseName})`}`,
    stage: () => `${entry.stage}${entry.durationUs === null ? `  time ${unknownValue}` : took}${stageHits(event, entry.stage)}`,
    ended: () => `${event.outcome}  ${replyText(event.reply)}`,
    queued: () => `queued${took}`,
    attempted: () => attemptText(deliveries[entry.delivery!]!) + took,
    finished: () => `finished  ${finished!.deliveredCount} delivered, ${finished!.failedCount} failed, ${finished!.expiredCount} expired`,
    released: () => `released from quarantine by ${entry.by ?? unknownValue}`,
    deleted: () => `deleted from quarantine by ${entry.by ?? unknownValue}`,
    closed: () => `connection closed by ${entry.by}: ${session!.receivedBytes} octets in, ${session!.sentBytes} out, ${session!.transactionCount} transactions${session!.violations.length === 0 ? '' : `, violations: ${session!.violations.join(', ')}`}${session!.isReplyWritten ? '' : '; the final reply could not be written'}`,
  }[entry.kind]()
  return `${at}  ${text}`
}

function stageHits(event: MessageDetail['event'], stage: TimelineEntry['stage']): string {
  const hits = event.evaluations.filter((one) => one.stage === stage).flatMap((one) => one.hits)
  return hits.length === 0 ? '' : `  ${hits.map((hit) => `${hit.ruleId}${hit.shadow ? ' (shadow)' : ''}`).join(', ')}`
}

function attemptText(attempt: MessageDetail['deliveries'][number]): string {
  return `try ${attempt.attempt} at ${attempt.nextHop.host}:${attempt.nextHop.port}  ${attempt.recipients.map((one) => one.outcome).join(', ')}`
}

function limitsText({ thresholds }: MessageDetail): string {
  if (thresholds === null) return ''
  const limits = (['markAt', 'rejectAt'] as const).flatMap((name) => (thresholds[name] === null ? [] : [`${name} ${thresholds[name]}`]))
  return limits.length === 0 ? '' : ` (${limits.join(', ')})`
}

const whyUnknown: Record<NonNullable<MessageDetail['rulesUnknown']>, string> = {
  'not-logged': unknownValue,
  'no-content': 'the rule set of that time was never logged',
  'not-readable': 'the rule set of that time cannot be read by this version',
  'not-reproducible': 'it was logged with a long list by its hash alone, so they cannot be computed',
  'not-shown': 'not shown to this role',
}

/** Hits and what each added; then what ran and did not hit; then what never ran, and why. */
function ruleLines({ event, rules, rulesUnknown, ruleNames }: MessageDetail): string[] {
  if (rules !== null) return rules.map(ruleLine)
  const hits = event.evaluations.flatMap((one) => one.hits.map((hit) => `${one.stage.padEnd(8)}  ${hit.branch === 'then' ? 'hit' : hit.branch}  ${ruleNames[hit.ruleId] ?? hit.ruleId}${effectText(hit)}`))
  return [...hits, `Rules that did not hit: ${whyUnknown[rulesUnknown ?? 'not-logged']}`]
}

function ruleLine(rule: RuleStep): string {
  const where = `${rule.stage}${rule.recipient === null ? '' : ` ${rule.recipient + 1}`}`.padEnd(8)
  const name = `${rule.name} (${rule.ruleId})${rule.mode === 'active' ? '' : ` ${rule.mode}`}`
  if (rule.result === 'not-run') return `${where}  not run  ${name}: ${rule.whyNot ?? ''}`
  const sum = rule.weightBefore === rule.weightAfter ? '' : `  ${rule.weightBefore} → ${rule.weightAfter}`
  return `${where}  ${rule.result.padEnd(7)}  ${name}${sum}${effectText(rule)}`
}

function effectText(rule: { attribute: string | null; matchedText: string | null; weight: number; action: string; marks: readonly string[] }): string {
  const parts = [
    rule.weight === 0 ? null : `${rule.weight > 0 ? '+' : ''}${rule.weight}`,
    rule.matchedText === null ? rule.attribute : `${rule.attribute ?? ''} "${rule.matchedText}"`,
    rule.action === 'none' ? null : rule.action,
    ...rule.marks,
  ].filter((part) => part !== null)
  return parts.length === 0 ? '' : `  ${parts.join('  ')}`
}

function checkLine(check: CheckResult): string {
  return `${check.stage.padEnd(8)}  ${check.name}: ${check.result}${check.detail === null ? '' : ` (${check.detail})`}  ${durationText(check.durationUs)}`
}

function recipientLines({ event, deliveries }: MessageDetail): string[] {
  return event.recipients.map((recipient) => {
    const own = deliveries.flatMap((one) =>
      one.recipients
        .filter((result) => [recipient.address, recipient.normalized].some((address) => address.toLowerCase() === result.address.toLowerCase()))
        .map((result) => `${result.outcome} at ${one.nextHop.host}`),
    )
    const tries = own.length === 0 ? '' : `  ${own.at(-1)}, ${own.length} ${own.length === 1 ? 'try' : 'tries'}`
    return `${recipient.outcome.padEnd(11)}  ${recipient.address}  ${replyText(recipient.reply)}${recipient.clientId === null ? '' : `  client ${recipient.clientId}`}${tries}`
  })
}

function deliveryLines({ deliveries }: MessageDetail, time: (iso: string) => string): string[] {
  return deliveries.flatMap((attempt) =>
    attempt.recipients.map(
      (result) =>
        `${time(attempt.endedAt)}  ${attempt.nextHop.host}:${attempt.nextHop.port}  ${result.outcome}  ${result.address}  ${result.reply === null ? (result.error ?? unknownValue) : replyText(result.reply)}  ${attempt.sentBytes} octets, ${durationText(attempt.durationUs)}`,
    ),
  )
}

function billingLines({ event, usage, billing }: MessageDetail): string[] {
  const known = (value: number | null, none: string) => (value === null ? (event.source === 'tollgate' ? none : unknownValue) : `${value} octets`)
  return [
    `declared  ${known(event.declaredSizeBytes, 'no size')}`,
    `received  ${event.messageBytes === null ? `${event.dataBytes} octets, the end never came` : `${event.messageBytes} octets${event.sizeSource === 'queue' ? ' (size in the queue of the other server)' : ''}`}`,
    ...usage.map((entry) => entryLine(entry, billing.period, billing.mode)),
    ...(billing.isMetered ? [] : ['not metered yet: entries will follow']),
  ]
}

function entryLine(entry: UsageEntry, period: string, mode: MessageDetail['billing']['mode']): string {
  const reason = entry.billable ? '' : `, not billed: ${entry.reason}`
  const correction = entry.correction === '0' ? '' : `, correction ${entry.correction}`
  return `billed    ${period}  ${entry.clientName ?? entry.clientId ?? 'house'}  ${entry.recipient}  full ${entry.fullBytes}, split ${entry.splitBytes} octets${mode === null ? '' : ` (${mode} counts)`}${reason}${correction}`
}

function envelopeLines({ event }: MessageDetail): string[] {
  const { remote } = event
  const ours = event.source === 'tollgate'
  const rows: [string, string | null][] = [
    ['id', event.transactionId],
    ['from', event.sender === '' ? '<>' : event.sender],
    ['subject', event.subject],
    ['message-id', event.messageId],
    ['remote', remote.ip === null ? null : `${remote.ip}${remote.port === null ? '' : `:${remote.port}`}`],
    ['network', [remote.networkClass, remote.networkName, remote.country].filter((part) => part !== null).join(' ')],
    ['helo', event.helo],
    ['tls', event.tls === null ? (ours ? 'none, plain text' : null) : `${event.tls.version} ${event.tls.cipher}`],
    ['login', event.authUser ?? (ours ? 'anonymous' : null)],
    ['gateway', `${event.node} (${event.source})`],
    ['digest', event.digest],
    ...event.attachments.map((one): [string, string] => ['attachment', `${one.name ?? 'unnamed'}  ${one.type}  ${one.sizeBytes} octets`]),
    ...event.headers.map((one): [string, string] => [one.name, one.value]),
    ...(event.truncated.length === 0 ? [] : [['cut', event.truncated.join(', ')] as [string, string]]),
  ]
  return rows.map(([name, value]) => `${name.padEnd(11)} ${value ?? (ours ? 'never sent' : unknownValue)}`)
}

export function durationText(us: number): string {
  if (us < 1_000) return `${us} µs`
  return us < 1_000_000 ? `${(us / 1_000).toFixed(1)} ms` : `${(us / 1_000_000).toFixed(1)} s`
}

function brokenAt(line: string, width: number | null): string {
  if (width === null || line.length <= width) return line
  const inset = ' '.repeat(Math.min(/^ */.exec(line)![0].length + 4, 8))
  const pieces: string[] = []
  let rest = [...line]
  let room = Math.max(20, width)
  while (rest.length > room) {
    const space = rest.lastIndexOf(' ', room)
    const cut = space > room / 2 ? space : room
    pieces.push(rest.slice(0, cut).join('').trimEnd())
    rest = [...`${inset}${rest.slice(cut).join('').trimStart()}`]
    room = Math.max(20, width)
  }
  return [...pieces, rest.join('')].join('\n')
}
