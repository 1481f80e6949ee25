/**
 * Judges generated mail as a gateway does and writes the event a gateway would: for tests of rules on their own.
 *
 * Why  kept apart from services/rules/simulate-transaction.ts, which these tests hold against it.
 */
import type {
  Attachment,
  CheckResult,
  LoggedHeader,
  LoggedRecipient,
  Remote,
  Reply,
  TransactionEnded,
} from '../services/contracts/event.ts'
import type { Outcome, Reason, RecipientOutcome, Stage } from '../services/contracts/vocabulary.ts'
import type { Attributes } from '../services/rules/attributes.ts'
import type { CompiledRuleset } from '../services/rules/compile-ruleset.ts'
import { evaluateStage, initialProgress, type Verdict } from '../services/rules/evaluate-stage.ts'

export type Mail = {
  remote?: Partial<Remote>
  helo?: string
  tls?: string | null
  authUser?: string | null
  sender?: string
  declaredSizeBytes?: number | null
  /** `!` before an address: the gateway itself refuses it. */
  recipients?: string[]
  headers?: LoggedHeader[]
  subject?: string | null
  attachments?: Attachment[]
  messageBytes?: number
  checks?: CheckResult[]
  /** The remote breaks off behind this stage. */
  abortAfter?: Stage | null
  isSessionRefusedByGateway?: boolean
}

const ok = { code: 250, enhanced: '2.1.5', text: 'Recipient ok' }
const unknownUser = { code: 550, enhanced: '5.1.1', text: 'User unknown' }

export function remoteOf(remote: Partial<Remote> = {}): Remote {
  return {
    ip: '192.0.2.10',
    port: 40000,
    reverseName: null,
    forwardConfirmed: null,
    country: null,
    networkClass: 'public',
    networkName: null,
    ...remote,
  }
}

export function judgeLive(mail: Mail, compiled: CompiledRuleset): TransactionEnded {
  const event = blankEvent(mail, compiled)
  const { timings } = event
  let progress = initialProgress()
  const known: Attributes = {
    remote: event.remote,
    helo: null,
    tls: null,
    authUser: null,
    sender: null,
    declaredSizeBytes: null,
    recipients: [],
    recipientCount: 0,
    refusedRecipientCount: 0,
    headers: [],
    subject: null,
    attachments: [],
    messageBytes: null,
    checks: [],
  }
  const run = (stage: Stage, recipient: number | null, timing: keyof typeof timings): Verdict | null => {
    // Written apart from attributes.ts, as everything here: about others and about refused ones a rule learns nothing.
    const checks = event.checks.filter((check) => {
      if (order.indexOf(check.stage) > order.indexOf(stage)) return false
      if (check.recipient == null || stage === 'rcpt') return (check.recipient ?? recipient) === recipient
      return !isRefused(event.recipients[check.recipient]?.outcome ?? 'refused')
    })
    const result = evaluateStage(compiled, stage, { ...known, checks }, progress, recipient)
    progress = result.progress
    timings[timing] = 1
    if (result.evaluation.hits.length > 0) event.evaluations.push(result.evaluation)
    return result.verdict
  }
  const end = (
    outcome: Outcome,
    stage: Stage,
    reason: Reason | null,
    ruleId: string | null = null,
    reply: Reply | null = null,
  ): TransactionEnded => {
    if (order.indexOf(stage) < 1) event.helo = null
    if (order.indexOf(stage) < 2)
      Object.assign(event, { sender: null, tls: null, authUser: null, declaredSizeBytes: null })
    if (order.indexOf(stage) < 4) Object.assign(event, { headers: [], subject: null })
    if (stage !== 'complete') Object.assign(event, { attachments: [] })
    return Object.assign(event, {
      outcome,
      stage,
      reason,
      decidingRuleId: ruleId,
      reply,
      weight: progress.weightThousandths / 1000,
      marks: [...progress.marks],
    })
  }
  const refusal = (verdict: Verdict | null, stage: Stage): TransactionEnded | null =>
    verdict?.reply == null
      ? null
      : end(verdict.action === 'defer' ? 'deferred' : 'refused', stage, verdict.reason, verdict.ruleId, verdict.reply)

  if (mail.isSessionRefusedByGateway) return end('refused', 'connect', 'connection-limit')
  let ended = refusal(run('connect', null, 'connectUs'), 'connect')
  if (ended !== null) return ended
  known.helo = event.helo
  ended = refusal(run('helo', null, 'heloUs'), 'helo')
  if (ended !== null) return ended
  const { tls, authUser, sender, declaredSizeBytes } = event
  Object.assign(known, { tls, authUser, sender, declaredSizeBytes })
  ended = refusal(run('mail', null, 'mailUs'), 'mail')
  if (ended !== null) return ended
  if (mail.abortAfter === 'mail') return end('aborted', 'mail', 'client-gone')

  const refusingRules = new Map<LoggedRecipient, string | null>()
  for (const address of mail.recipients ?? ['ann@corp.test']) {
    const recipient = recipientOf(address)
    if (recipient.outcome === 'accepted') {
      known.recipients = [recipient.normalized]
      known.recipientCount = event.recipients.length + 1
      known.refusedRecipientCount = event.recipients.filter((one) => isRefused(one.outcome)).length
      const verdict = run('rcpt', event.recipients.length, 'rcptUs')
      if (verdict !== null && verdict.action !== 'accept')
        Object.assign(recipient, { reason: 'rule', outcome: outcomeOf[verdict.action] })
      if (verdict?.reply != null) {
        refusingRules.set(recipient, verdict.ruleId)
        recipient.reply = verdict.reply
      }
    }
    event.recipients.push(recipient)
  }
  const taken = event.recipients.filter((one) => !isRefused(one.outcome))
  if (taken.length === 0) {
    const first = event.recipients.find((one) => one.outcome === 'refused') ?? event.recipients[0]!
    return end(first.outcome as Outcome, 'rcpt', first.reason, refusingRules.get(first) ?? null, first.reply)
  }
  if (mail.abortAfter === 'rcpt') return end('aborted', 'rcpt', 'client-gone')

  known.recipients = taken.map((one) => one.normalized)
  known.recipientCount = event.recipients.length
  known.refusedRecipientCount = event.recipients.length - taken.length
  known.headers = event.headers
  known.subject = event.subject
  ended = refusal(run('header', null, 'headerUs'), 'header')
  if (ended !== null) return ended
  if (mail.abortAfter === 'header') return end('aborted', 'complete', 'client-gone')
  known.attachments = event.attachments
  known.messageBytes = event.messageBytes = mail.messageBytes ?? 2_000
  const verdict = run('complete', null, 'completeUs')
  ended = refusal(verdict, 'complete')
  if (ended !== null) return ended
  if (verdict?.action === 'discard') return end('discarded', 'complete', 'rule', verdict.ruleId)
  if (verdict?.action === 'quarantine') return end('quarantined', 'complete', 'rule', verdict.ruleId)
  const dispositions = new Set(taken.map((one) => one.outcome))
  if (dispositions.size === 1 && !dispositions.has('accepted'))
    return end([...dispositions][0]! as Outcome, 'complete', 'rule')
  return end(progress.marks.length > 0 ? 'marked' : 'accepted', 'complete', null)
}

const order: readonly Stage[] = ['connect', 'helo', 'mail', 'rcpt', 'header', 'complete']
const outcomeOf = { reject: 'refused', defer: 'deferred', discard: 'discarded', quarantine: 'quarantined' } as const

function isRefused(outcome: RecipientOutcome): boolean {
  return outcome === 'refused' || outcome === 'deferred'
}

function recipientOf(written: string): LoggedRecipient {
  const isUnknown = written.startsWith('!')
  const address = isUnknown ? written.slice(1) : written
  return {
    address,
    normalized: address.toLowerCase(),
    direction: 'inbound',
    outcome: isUnknown ? 'refused' : 'accepted',
    reason: isUnknown ? 'unknown-recipient' : null,
    reply: isUnknown ? unknownUser : ok,
    clientId: null,
  }
}

function blankEvent(mail: Mail, compiled: CompiledRuleset): TransactionEnded {
  return {
    kind: 'transaction.ended',
    tenantId: 'main',
    node: 'gateway-1',
    boot: '00000000-0000-4000-8000-000000000001',
    seq: 1,
    at: '2026-11-02T10:00:00.000Z',
    transactionId: '019a4000-0000-7000-8000-000000000001',
    sessionId: '00000000-0000-4000-8000-000000000002',
    source: 'tollgate',
    listener: null,
    startedAt: '2026-11-02T10:00:00.000Z',
    endedAt: '2026-11-02T10:00:00.000Z',
    remote: remoteOf(mail.remote),
    helo: mail.helo ?? 'mail.partner.test',
    tls: mail.tls == null ? null : { version: mail.tls, cipher: 'TLS_AES_256_GCM_SHA384' },
    authUser: mail.authUser ?? null,
    sender: mail.sender ?? 'bo@partner.test',
    declaredSizeBytes: mail.declaredSizeBytes ?? null,
    recipients: [],
    headers: mail.headers ?? [{ name: 'Message-ID', value: '<1@partner.test>' }],
    subject: mail.subject ?? null,
    messageId: null,
    attachments: mail.attachments ?? [],
    messageBytes: null,
    sizeSource: 'data',
    dataBytes: 0,
    commandBytes: 0,
    evaluations: [],
    checks: mail.checks ?? [],
    plugins: [],
    weight: 0,
    marks: [],
    outcome: 'accepted',
    stage: 'complete',
    reason: null,
    decidingRuleId: null,
    reply: null,
    queueId: null,
    digest: null,
    duplicateOf: null,
    timings: {
      connectUs: null,
      heloUs: null,
      mailUs: null,
      rcptUs: null,
      headerUs: null,
      completeUs: null,
      spoolUs: null,
    },
    rulesetHash: compiled.hash,
    directoryVersion: null,
    truncated: [],
  }
}
