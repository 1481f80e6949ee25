/**
 * The lists of restrictions of smtpd (smtpd_client_restrictions and its kin) as rules.
 *
 * Owns    what exempts from what: whatever permits in a list is a condition of all rules behind it in that list.
 * Leaves  who may relay to the networks, and who is known to the directory: those are no rules here.
 * Why     Postfix tells a refusal at RCPT, whatever the list; a rule tells it as soon as it can be known.
 */
import { ImportReport, type Place } from './import-report.ts'
import { wordsOf } from './read-main-cf.ts'
import { readPostfixMap } from './read-postfix-map.ts'

export type Rule = Record<string, unknown> & { id: string; stage: string }
export type DnsListSetting = { name: string; zone: string; of: 'ip' | 'helo-domain' | 'sender-domain' }
type Condition = Record<string, unknown>
type Stage = 'connect' | 'helo' | 'mail' | 'rcpt'
type Finding = { stage: Stage; when: Condition; then: Condition }

const stages: Stage[] = ['connect', 'helo', 'mail', 'rcpt']
const reject = (code: number, text: string): Condition => ({ reject: { code, text } })
const defer = (text: string): Condition => ({ defer: { text } })

const findings: ReadonlyMap<string, Finding> = new Map<string, Finding>([
  ['reject_unknown_reverse_client_hostname', { stage: 'connect', when: { check: 'reverse-dns', is: 'none' }, then: defer('Your address has no name') }],
  ['reject_unknown_client_hostname', { stage: 'connect', when: { check: 'reverse-dns', is: ['none', 'unconfirmed'] }, then: defer('The name of your address does not lead back to it') }],
  ['reject_invalid_helo_hostname', { stage: 'helo', when: { check: 'helo-plausible', is: 'syntax' }, then: reject(501, 'That is no host name') }],
  ['reject_non_fqdn_helo_hostname', { stage: 'helo', when: { attribute: 'helo', matches: '^[^.\\[\\]]+$' }, then: reject(504, 'Say your full host name') }],
  ['reject_unknown_helo_hostname', { stage: 'helo', when: { check: 'helo-plausible', is: 'unresolvable' }, then: defer('Your host name does not resolve') }],
  ['reject_non_fqdn_sender', { stage: 'mail', when: { attribute: 'sender', matches: '^[^@]+$|@[^.\\[\\]]+$' }, then: reject(504, 'Say the full sender address') }],
  ['reject_unknown_sender_domain', { stage: 'mail', when: { check: 'sender-domain', is: 'none' }, then: defer('The domain of the sender does not resolve') }],
])
const alwaysDone = new Map([
  ['reject_unauth_destination', 'nobody but trusted networks and users may relay, always'],
  ['defer_unauth_destination', 'nobody but trusted networks and users may relay, always; it is refused, not put off'],
  ['reject_unlisted_recipient', 'only known recipients are accepted, always'],
  ['reject_unverified_recipient', 'the directory says who is known'],
  ['reject_unauth_pipelining', 'commands out of turn are refused, always'],
  ['reject_non_fqdn_recipient', 'an address without a domain is refused, always'],
  ['reject_unknown_recipient_domain', 'only listed domains are accepted from strangers'],
  ['permit', 'what no rule refuses is accepted'],
  ['permit_auth_destination', 'listed domains are accepted; a refusal behind it in the list never came'],
])
const trusted: Condition = { attribute: 'remote.networkClass', equals: 'trusted' }

export class RestrictionTranslator {
  readonly rules: Rule[] = []
  readonly dnsLists: DnsListSetting[] = []
  readonly #report: ImportReport
  readonly #folder: string
  readonly #areRulesUsable: (rules: readonly Rule[]) => boolean

  constructor(report: ImportReport, folder: string, areRulesUsable: (rules: readonly Rule[]) => boolean) {
    this.#report = report
    this.#folder = folder
    this.#areRulesUsable = areRulesUsable
  }

  translate(value: string, place: Place): void {
    const exempt: { stage: Stage; when: Condition }[] = []
    const words = wordsOf(value)
    let isShadow = false
    for (let at = 0; at < words.length; at += 1) {
      const word = words[at]!
      const here = { ...place, subject: `${place.subject.split(' =')[0]}: ${word}` }
      const wasShadow = isShadow
      isShadow = false
      const finding = findings.get(word)
      const done = alwaysDone.get(word)
      if (word === 'warn_if_reject') isShadow = true
      else if (word === 'permit_mynetworks') {
        exempt.push({ stage: 'connect', when: trusted })
        this.#report.translated(here, 'trusted networks are exempt from the rules made of what follows')
      } else if (word === 'permit_sasl_authenticated') {
        exempt.push({ stage: 'mail', when: { attribute: 'authUser', exists: true } })
        this.#report.translated(here, 'users who logged in are exempt from the rules made of what follows')
      } else if (done !== undefined) this.#report.irrelevant(here, done)
      else if (finding !== undefined) this.#add(word.replaceAll('_', '-'), finding, exempt, wasShadow, here)
      else if (/^reject_(rbl_client|rhsbl_sender|rhsbl_helo)$/.test(word)) {
        const asked = words[(at += 1)] ?? ''
        this.#addDnsList(word, asked, exempt, wasShadow, { ...here, subject: `${here.subject} ${asked}` })
      } else if (/^check_(client|helo|sender|recipient)_access$/.test(word)) {
        const table = words[(at += 1)] ?? ''
        this.#addAccess(word.split('_')[1]!, table, exempt, wasShadow, here)
      } else {
        if (/^(check_|reject_rh?s?bl|permit_dnswl|permit_rhswl)/.test(word)) at += 1
        this.#report.left(here, remedyOf(word))
      }
    }
  }

  #addDnsList(word: string, asked: string, exempt: Exempt, isShadow: boolean, place: Place): void {
    const [zone = '', filter = ''] = asked.split('=')
    if (!/^[\w.-]+$/.test(zone) || (filter !== '' && !/^127\.\d+\.\d+\.\d+$/.test(filter))) {
      return this.#report.left(place, 'Name the list under checks.dnsLists, and write a rule for the answers that are meant: docs/checks.md shows one.')
    }
    const of = word === 'reject_rbl_client' ? 'ip' : word === 'reject_rhsbl_helo' ? 'helo-domain' : 'sender-domain'
    const name = `${zone.toLowerCase().replace(/[^a-z0-9]+/g, '-').slice(0, 30)}${of === 'ip' ? '' : of === 'helo-domain' ? '-helo' : '-sender'}`
    if (!this.dnsLists.some((list) => list.name === name)) this.dnsLists.push({ name, zone, of })
    const when = filter === '' ? { attribute: `check.dnsbl-${name}`, matches: '^127\\.' } : { check: `dnsbl-${name}`, is: filter }
    const stage = of === 'ip' ? 'connect' : of === 'helo-domain' ? 'helo' : 'mail'
    this.#add(`listed-${name}`, { stage, when, then: reject(554, `Listed by ${zone}`) }, exempt, isShadow, place)
  }

  #addAccess(about: string, reference: string, exempt: { stage: Stage; when: Condition }[], isShadow: boolean, place: Place): void {
    const table = readPostfixMap(reference, place, this.#folder)
    if ('remedy' in table) return this.#report.left({ ...place, subject: `${place.subject} ${reference}` }, `${capital(table.remedy)}.`)
    if (table.kind === 'patterns') return this.#report.left({ ...place, subject: `${place.subject} ${reference}` }, 'Write a rule with `matches` for each pattern: docs/rules.md.')
    this.#report.translated({ ...place, subject: `${place.subject} ${reference}` }, `${table.entries.length} entries, told one by one`)
    for (const { key, value, file, line } of table.entries) {
      const here = { file, line, subject: `${key} ${value}` }
      const found = accessCondition(about, key)
      if (found === null) this.#report.left(here, 'Write a rule for it: docs/rules.md.')
      else if (/^(OK|permit|\d+$)/i.test(value)) {
        exempt.push(found)
        this.#report.translated(here, 'exempt from the rules made of what follows')
      } else if (/^DUNNO$/i.test(value)) this.#report.irrelevant(here, 'it decides nothing')
      else {
        const then = accessAction(value)
        if (then === null) this.#report.left(here, 'Write a rule for it: docs/rules.md.')
        else this.#add(`${about}-${key.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '').slice(0, 40)}`, { ...found, then }, exempt, isShadow, here)
      }
    }
  }

  #add(name: string, { stage, when, then }: Finding, exempt: Exempt, isShadow: boolean, place: Place): void {
    const latest = exempt.reduce((most, { stage: needed }) => Math.max(most, stages.indexOf(needed)), stages.indexOf(stage))
    const all = [...exempt.map((one) => ({ not: one.when })), when]
    const rule = {
      id: freeId(name, this.rules), name: place.subject, stage: stages[latest]!, ...(isShadow ? { mode: 'shadow' } : {}),
      when: all.length === 1 ? when : { all }, then,
    }
    if (!this.#areRulesUsable([rule])) return this.#report.left(place, 'Write a rule for it: docs/rules.md.')
    this.rules.push(rule)
    this.#report.translated(place, `rule ${rule.id}${isShadow ? ', in shadow' : ''}`)
  }
}

type Exempt = readonly { stage: Stage; when: Condition }[]

export function freeId(wanted: string, rules: readonly { id: string }[]): string {
  for (let tries = 1; ; tries += 1) {
    const id = tries === 1 ? wanted : `${wanted}-${tries}`
    if (!rules.some((rule) => rule.id === id)) return id
  }
}

function accessCondition(about: string, key: string): { stage: Stage; when: Condition } | null {
  if (about === 'client') {
    const isNetwork = /^(\d+\.){3}\d+(\/\d+)?$|^[0-9a-f:]*:[0-9a-f:]*(\/\d+)?$/i.test(key)
    return isNetwork ? { stage: 'connect', when: { attribute: 'remote.ip', cidr: key.includes('/') ? key : `${key}/${key.includes(':') ? 128 : 32}` } } : null
  }
  if (about === 'helo') return key.startsWith('.') ? null : { stage: 'helo', when: { attribute: 'helo', equals: key } }
  const attribute = about
  const stage = about === 'sender' ? 'mail' : 'rcpt'
  if (key === '<>') return about === 'sender' ? { stage, when: { attribute, equals: '' } } : null
  if (/^[^@\s]+@[^@\s]+$/.test(key)) return { stage, when: { attribute, equals: key } }
  return /^[a-z0-9-]+(\.[a-z0-9-]+)+$/i.test(key) ? { stage, when: { attribute: `${attribute}.domain`, equals: key } } : null
}

/** Null: no action of ours is equal. */
export function accessAction(value: string): Condition | null {
  const [, word = '', text = ''] = /^(\S+)\s*(.*)$/.exec(value) ?? []
  const action = word.toUpperCase()
  const said = text.replace(/^[45]\.\d+\.\d+\s+/, '')
  if (action === 'REJECT') return { reject: { text: said === '' ? 'Refused' : said } }
  if (/^5\d\d$/.test(word)) return reject(Number(word), said === '' ? 'Refused' : said)
  if (/^4\d\d$/.test(word) || /^DEFER(_IF_(PERMIT|REJECT))?$/.test(action)) return defer(said === '' ? 'Try again later' : said)
  if (action === 'DISCARD') return { discard: true }
  if (action === 'HOLD') return { quarantine: true }
  return null
}

function remedyOf(word: string): string {
  if (word.startsWith('check_policy_service')) return 'For greylisting write a rule with `check: greylist`, for SPF one with `check: spf` (docs/checks.md); for others plugins.http.'
  if (word.includes('mx_access') || word.includes('ns_access')) return 'Tollgate does not look at the servers of a domain; a DNS list or a rule on the sender domain comes near.'
  if (word.includes('verif')) return 'Tollgate calls nobody back; use `check: sender-domain` (docs/checks.md).'
  return 'See docs/rules.md for what a rule can ask, and write one.'
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1)
