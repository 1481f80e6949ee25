/**
 * What an adapter found out about a mail, as the events of the log.
 *
 * Why  what a format cannot know stays `null`, or 0 and empty where the event has no `null` (weights, rules, timings).
 *      Nothing is guessed: an accepted recipient's reply has a code and no text, since no MTA logs it.
 */
import { BlockList, isIPv6 } from 'node:net'
import { normalizedAddress, normalizedDomain, domainOf } from '../../contracts/address.ts'
import type { DeliveryAttempted, MessageFinished, Remote, Reply, Tls, TollgateEvent, TransactionEnded } from '../../contracts/event.ts'
import type { NetworkClass, Outcome, Reason, RecipientOutcome, Stage } from '../../contracts/vocabulary.ts'
import { mtaSeq, mtaTransactionId, mtaUuid, nodeNameOf } from './mta-identity.ts'
import type { MtaSource } from './mta-line.ts'

export type MtaSettings = {
  tenantId: string
  source: MtaSource
  /** The listed domains; with none, every recipient counts as inbound. */
  domains: readonly string[]
  lowerCaseLocalPart: boolean
  networks: readonly { name: string; class: NetworkClass; cidrs: readonly string[] }[]
}

export type MtaRecipient = { address: string; outcome: RecipientOutcome; reason: Reason | null; reply: Reply }

export type MtaMail = {
  host: string
  /** Names the mail within the host: instance and queue id, or the line that refused it. */
  identity: readonly string[]
  session: string
  startedMs: number
  endedMs: number
  remote: { ip: string | null; port: number | null; name: string | null }
  helo: string | null
  tls: Tls | null
  authUser: string | null
  sender: string | null
  declaredSizeBytes: number | null
  recipients: readonly MtaRecipient[]
  subject: string | null
  messageId: string | null
  sizeBytes: number | null
  dataBytes: number
  outcome: Outcome
  stage: Stage
  reason: Reason | null
  reply: Reply | null
  duplicateOf: string | null
}

export type MtaDelivery = {
  /** Unique within the mail: the line that told it. */
  identity: string
  attempt: number
  startedMs: number
  endedMs: number
  host: string
  port: number
  recipients: DeliveryAttempted['recipients']
  sentBytes: number
}

export type MtaEvents = {
  idOf(host: string, startedMs: number, identity: readonly string[]): string
  mail(mail: MtaMail): TransactionEnded
  delivery(host: string, transactionId: string, delivery: MtaDelivery): DeliveryAttempted
  finished(host: string, transactionId: string, endedMs: number, counts: Pick<MessageFinished, 'deliveredCount' | 'failedCount' | 'expiredCount' | 'ageMs'>): MessageFinished
}

export const isTransaction = (event: TollgateEvent): event is TransactionEnded => event.kind === 'transaction.ended'

const acceptedOutcomes = new Set<RecipientOutcome>(['accepted', 'discarded', 'quarantined'])
export const unloggedReply: Reply = { code: 250, enhanced: null, text: '' }

export function createMtaEvents(settings: MtaSettings): MtaEvents {
  const { source, tenantId } = settings
  const domains = new Set(settings.domains.map(normalizedDomain))
  const networkOf = createNetworks(settings.networks)
  const boots = new Map<string, { node: string; boot: string }>()
  const placeOf = (host: string): { node: string; boot: string } => {
    let place = boots.get(host)
    if (place === undefined) boots.set(host, (place = { node: nodeNameOf(host), boot: mtaBoot(source, host) }))
    return place
  }
  const envelope = (host: string, atMs: number, ...identity: string[]) =>
    ({ tenantId, ...placeOf(host), seq: mtaSeq(...identity), at: new Date(atMs).toISOString() })
  const idOf = (host: string, startedMs: number, identity: readonly string[]): string => mtaTransactionId(startedMs, source, host, ...identity)

  return {
    idOf,
    mail: (mail) => {
      const transactionId = idOf(mail.host, mail.startedMs, mail.identity)
      const { ip, port, name } = mail.remote
      const remote: Remote = { ip, port, reverseName: name, forwardConfirmed: null, country: null, ...networkOf(ip) }
      return {
        kind: 'transaction.ended',
        ...envelope(mail.host, mail.endedMs, 'mail', transactionId),
        transactionId,
        sessionId: mtaUuid(source, mail.host, mail.session),
        source,
        listener: null,
        startedAt: new Date(mail.startedMs).toISOString(),
        endedAt: new Date(mail.endedMs).toISOString(),
        remote,
        helo: mail.helo,
        tls: mail.tls,
        authUser: mail.authUser,
        sender: mail.sender,
        declaredSizeBytes: mail.declaredSizeBytes,
        recipients: mail.recipients.map(({ address, outcome, reason, reply }) => ({
          address,
          normalized: normalizedAddress(address, settings),
          direction: domains.size === 0 || domains.has(normalizedDomain(domainOf(address))) ? 'inbound' : 'outbound',
          outcome,
          reason,
          reply,
          clientId: null,
        })),
        headers: [],
        subject: mail.subject,
        messageId: mail.messageId,
        attachments: [],
        messageBytes: mail.sizeBytes,
        sizeSource: 'queue',
        dataBytes: mail.sizeBytes ?? mail.dataBytes,
        commandBytes: 0,
        evaluations: [],
        checks: [],
        plugins: [],
        weight: 0,
        marks: [],
        outcome: mail.outcome,
        stage: mail.stage,
        reason: mail.reason,
        decidingRuleId: null,
        reply: mail.reply,
        queueId: mail.recipients.some(({ outcome }) => acceptedOutcomes.has(outcome)) && mail.sizeBytes !== null ? transactionId : null,
        digest: null,
        duplicateOf: mail.duplicateOf,
        timings: { connectUs: null, heloUs: null, mailUs: null, rcptUs: null, headerUs: null, completeUs: null, spoolUs: null },
        rulesetHash: null,
        directoryVersion: null,
        truncated: [],
      }
    },
    delivery: (host, transactionId, delivery) => ({
      kind: 'delivery.attempted',
      ...envelope(host, delivery.endedMs, 'delivery', transactionId, delivery.identity),
      transactionId,
      queueId: transactionId,
      attempt: delivery.attempt,
      startedAt: new Date(delivery.startedMs).toISOString(),
      endedAt: new Date(delivery.endedMs).toISOString(),
      nextHop: { route: '*', host: delivery.host, port: delivery.port },
      tls: null,
      recipients: delivery.recipients,
      sentBytes: delivery.sentBytes,
      durationUs: Math.max(0, delivery.endedMs - delivery.startedMs) * 1_000,
    }),
    finished: (host, transactionId, endedMs, counts) => ({
      kind: 'message.finished',
      ...envelope(host, endedMs, 'finished', transactionId),
      transactionId,
      queueId: transactionId,
      ...counts,
    }),
  }
}

/** Stands in the place of the boot of a gateway: one for all that a host tells. */
export function mtaBoot(source: MtaSource, host: string): string {
  return mtaUuid('boot', source, host)
}

type NetworkOfRemote = Pick<Remote, 'networkClass' | 'networkName'>

function createNetworks(networks: MtaSettings['networks']): (ip: string | null) => NetworkOfRemote {
  const lists = networks.map((network) => {
    const list = new BlockList()
    for (const cidr of network.cidrs) {
      const [address = '', bits] = cidr.split('/')
      const family = isIPv6(address) ? 'ipv6' : 'ipv4'
      list.addSubnet(address, bits === undefined ? (family === 'ipv6' ? 128 : 32) : Number(bits), family)
    }
    return { list, found: { networkClass: network.class, networkName: network.name } }
  })
  return (ip) => {
    const family = ip !== null && isIPv6(ip) ? 'ipv6' : 'ipv4'
    return (ip === null ? undefined : lists.find(({ list }) => list.check(ip, family))?.found) ?? { networkClass: 'public', networkName: null }
  }
}

/** `550 5.1.1 text` in its parts; `null` where it does not begin with a code. */
export function replyOf(text: string): Reply | null {
  const match = /^([2-5]\d\d)(?:[ -]([245]\.\d{1,3}\.\d{1,3}))?(?:[ -]|$)/.exec(text)
  return match === null ? null : { code: Number(match[1]), enhanced: match[2] ?? null, text: text.slice(match[0].length) }
}

/** Why a recipient was refused, where the words of the reply leave no doubt. */
export function reasonOf(reply: Reply): Reason | null {
  const { enhanced } = reply
  // Addresses in it are the remote's words.
  const text = reply.text.replace(/<(?:"(?:[^"\\]|\\.)*"|[^<>"])*>/g, '')
  if (/relay(?:ing)? (?:access )?(?:denied|not permitted)/i.test(text)) return 'relay-denied'
  if (/user unknown|unknown user|no such user|unrouteable address/i.test(text) || enhanced === '5.1.1') return 'unknown-recipient'
  if (/message size exceeds|message too big/i.test(text) || enhanced === '5.3.4') return 'size-limit'
  if (/too many recipients/i.test(text)) return 'recipient-limit'
  if (/improper use of smtp command pipelining|synchronization error/i.test(text)) return 'early-talker'
  if (/too many (?:connections|concurrent)|ports busy$/i.test(text)) return 'connection-limit'
  return enhanced === '5.4.6' ? 'mail-loop' : null
}
