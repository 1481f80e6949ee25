import { describe, expect, it } from 'vitest'
import { createI18n } from 'vue-i18n'
import type { MessageDetail } from '../../../../services/contracts/api.ts'
import type { DeliveryAttempted, MessageFinished, TransactionEnded } from '../../../../services/contracts/event.ts'
import { outcomes, reasons } from '../../../../services/contracts/vocabulary.ts'
import { en } from '../../locale/en.ts'
import { whatHappened, type Translate } from './what-happened.ts'

const { t } = createI18n({ legacy: false, locale: 'en', messages: { en } }).global
const translate: Translate = (key, parameters = {}, count) => (count === undefined ? t(key, parameters) : t(key, parameters, count))
const time = (iso: string) => `<${iso.slice(11, 19)}>`

const envelope = { tenantId: 'main', node: 'gateway-1', boot: '00000000-0000-4000-8000-000000000000', seq: 1, at: '2026-11-24T14:02:11.000Z' }
const id = '019abc12-3456-7def-8901-23456789abcd'
const recipient = (address: string, changes: Partial<TransactionEnded['recipients'][number]> = {}): TransactionEnded['recipients'][number] => ({
  address, normalized: address, direction: 'inbound', outcome: 'accepted', reason: null,
  reply: { code: 250, enhanced: '2.1.5', text: 'Recipient ok' }, clientId: null, ...changes,
})

function detail(changes: Partial<TransactionEnded>, rest: Partial<MessageDetail> = {}): MessageDetail {
  const event: TransactionEnded = {
    kind: 'transaction.ended', ...envelope, transactionId: id, sessionId: envelope.boot, source: 'tollgate', listener: null,
    startedAt: envelope.at, endedAt: envelope.at,
    remote: { ip: '203.0.113.7', port: 1, reverseName: null, forwardConfirmed: null, country: null, networkClass: 'public', networkName: null },
    helo: null, tls: null, authUser: null, sender: 'bo@partner.test', declaredSizeBytes: null, recipients: [recipient('ann@corp.test')],
    headers: [], subject: null, messageId: null, attachments: [], messageBytes: 1200, sizeSource: 'data', dataBytes: 1200, commandBytes: 90,
    evaluations: [], checks: [], plugins: [], weight: 0, marks: [], outcome: 'accepted', stage: 'complete', reason: null, decidingRuleId: null,
    reply: { code: 250, enhanced: '2.0.0', text: 'Ok' }, queueId: id, digest: null, duplicateOf: null,
    timings: { connectUs: null, heloUs: null, mailUs: null, rcptUs: null, headerUs: null, completeUs: null, spoolUs: null },
    rulesetHash: null, directoryVersion: null, truncated: [], ...changes,
  }
  return { event, deliveries: [], finished: null, timeline: [], session: null, usage: [], billing: { period: '2026-11', mode: 'full', isMetered: true }, rules: null, rulesUnknown: 'not-logged', ruleNames: {}, thresholds: { markAt: 5, rejectAt: 8 }, near: [], ...rest }
}

const delivery = (outcome: 'delivered' | 'deferred' | 'failed', address = 'ann@corp.test'): DeliveryAttempted => ({
  kind: 'delivery.attempted', ...envelope, transactionId: id, queueId: id, attempt: 1, startedAt: envelope.at, endedAt: '2026-11-24T14:02:12.000Z',
  nextHop: { route: 'corp.test', host: 'inner.corp.test', port: 25 }, tls: null, sentBytes: 1500, durationUs: 900,
  recipients: [{ address, outcome, reply: { code: outcome === 'delivered' ? 250 : outcome === 'failed' ? 550 : 451, enhanced: null, text: 'said so' }, error: null }],
})
const finished = (failedCount: number): MessageFinished => ({
  kind: 'message.finished', ...envelope, transactionId: id, queueId: id, deliveredCount: 1 - failedCount, failedCount, expiredCount: 0, ageMs: 1,
})

const storyOf = (one: MessageDetail) => whatHappened(one, translate, time).sentences.join(' ')
const refusedAtRcpt = detail({
  outcome: 'refused', stage: 'rcpt', reason: 'unknown-recipient', reply: null, messageBytes: null, dataBytes: 0, queueId: null,
  recipients: [recipient('gone@corp.test', { outcome: 'refused', reason: 'unknown-recipient', reply: { code: 550, enhanced: '5.1.1', text: 'User unknown' } })],
})

describe('the story of a message', () => {
  it('quotes the reply of the recipient where the transaction ended without one of its own', () => {
    expect(whatHappened(refusedAtRcpt, translate, time)).toEqual({
      headline: 'Refused at rcpt · 550 5.1.1 User unknown',
      sentences: [
        'The message from bo@partner.test to gone@corp.test was refused on <14:02:11> with “550 5.1.1 User unknown”, because there is no such recipient here.',
        'Its content was never transmitted.',
      ],
    })
  })
  it('names the weight and the limit that it reached', () => {
    expect(storyOf(detail({ outcome: 'refused', reason: 'weight', weight: 9.5, queueId: null }))).toContain('its spam weight of 9.5 reached our limit of 8')
    expect(storyOf(detail({ outcome: 'marked', weight: 6 }))).toContain('its spam weight of 6 reached our limit of 5')
  })
  it('invents no limit where none was logged', () => {
    expect(storyOf(detail({ outcome: 'refused', reason: 'weight', weight: 9.5 }, { thresholds: null }))).toContain('its spam weight of 9.5 reached our limit.')
  })
  it('calls a rule by its name, else by its id', () => {
    const refused = { outcome: 'refused', stage: 'mail', reason: 'rule', decidingRuleId: 'no-mx' } as const
    expect(storyOf(detail(refused, { ruleNames: { 'no-mx': 'Sender has no MX' } }))).toContain('our rule “Sender has no MX” applies to it')
    expect(storyOf(detail(refused))).toContain('our rule “no-mx” applies to it')
  })
  it('does not say that nothing was transmitted where the content came', () => {
    expect(storyOf(detail({ outcome: 'refused', reason: 'weight', weight: 9, dataBytes: 1200 }))).not.toContain('never transmitted')
  })
  it.each([
    [[], null, 'It waits in our queue'],
    [[delivery('delivered')], finished(0), 'It was handed to inner.corp.test:25 on <14:02:12>, which answered “250 said so”.'],
    [[delivery('delivered')], null, 'It was handed to inner.corp.test:25'],
    [[delivery('deferred')], null, 'We keep trying.'],
    [[delivery('failed')], finished(1), 'It could not be delivered to one recipient: inner.corp.test:25 answered “550 said so”'],
  ] as const)('tells what became of an accepted message: %#', (deliveries, end, text) => {
    expect(storyOf(detail({}, { deliveries: [...deliveries], finished: end }))).toContain(text)
  })
  it('does not call a message delivered while a recipient waits', () => {
    const two = [recipient('ann@corp.test'), recipient('ben@corp.test')]
    expect(storyOf(detail({ recipients: two }, { deliveries: [delivery('delivered')] }))).toContain('We keep trying.')
  })
  it('names the recipients that were turned away while others got it', () => {
    const refused = recipient('gone@corp.test', { outcome: 'refused', reason: 'unknown-recipient', reply: { code: 550, enhanced: '5.1.1', text: 'User unknown' } })
    expect(storyOf(detail({ recipients: [recipient('ann@corp.test'), refused] }))).toContain(
      'gone@corp.test was refused with “550 5.1.1 User unknown”, because there is no such recipient here.',
    )
  })
  it('speaks of a connection where no sender was ever given', () => {
    expect(storyOf(detail({ outcome: 'refused', stage: 'connect', reason: 'connection-limit', sender: null, recipients: [], dataBytes: 0 }))).toContain(
      'The connection from the server at 203.0.113.7 was refused',
    )
  })
  it('finds words for every outcome and every reason, and leaves no placeholder', () => {
    for (const outcome of outcomes) {
      for (const reason of [...reasons, null]) {
        const story = whatHappened(detail({ outcome, reason, decidingRuleId: reason === 'rule' ? 'x' : null }), translate, time)
        expect(`${story.headline} ${story.sentences.join(' ')}`).not.toMatch(/story\.|because\.|headline\.|[{}|]|undefined/)
      }
    }
  })
})
