/**
 * The folder of a Postfix as files of ours, and what became of every line of it.
 *
 * Owns    the shape of tollgate.yaml; what needs more than a line stands in the files beside.
 * Leaves  writing and checking the files to write-import.ts.
 * Fails   throws where main.cf cannot be read; everything else is a line of the report.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseRuleset } from '../../rules/parse-ruleset.ts'
import { stringify } from 'yaml'
import { ImportReport, placeOf, type Place, type ReportLine } from './import-report.ts'
import { readMainCf, wordsOf, type MainCf } from './read-main-cf.ts'
import { translateAddresses } from './translate-addresses.ts'
import { headerRules } from './translate-header-checks.ts'
import { listenersOf } from './translate-master-cf.ts'
import { networksOf } from './translate-networks.ts'
import { RestrictionTranslator, type Rule } from './translate-restrictions.ts'
import { translateRoutes } from './translate-routes.ts'
import { remedyOfSetting, whyIrrelevant } from './setting-remedies.ts'

export type PostfixTranslation = { files: Map<string, string>; report: ReportLine[] }

const restrictionLists = ['client', 'helo', 'sender', 'relay', 'recipient', 'data', 'end_of_data'].map((name) => `smtpd_${name}_restrictions`)

export function translatePostfix(folder: string): PostfixTranslation {
  const file = join(folder, 'main.cf')
  const main = readMainCf(readFileSync(file, 'utf8'), folder)
  const report = new ImportReport()
  const place = (name: string): Place => {
    const setting = main.settings.findLast((one) => one.name === name)
    return setting === undefined ? { file, line: 0, subject: `${name} (default)` } : placeOf(file, setting)
  }
  for (const stray of main.strays) report.left({ file, line: stray.line, subject: stray.text }, 'It is no setting: mend or remove the line, and import again.')

  const { domains, directory, aliases } = translateAddresses(main, place, folder, report)
  const restrictions = new RestrictionTranslator(report, folder, areRulesUsable)
  for (const name of restrictionLists) restrictions.translate(main.value(name), place(name))
  const rules: Rule[] = [...restrictions.rules, ...headerRules(wordsOf(main.value('header_checks')), place('header_checks'), folder, report, areRulesUsable)]
  const tlsLevel = main.value('smtpd_tls_security_level')
  const tls = tlsOf(main, folder)
  if (tlsLevel === 'encrypt') {
    rules.push({ id: 'tls-required', stage: 'mail', when: { attribute: 'tls', exists: false }, then: { reject: { text: 'Say STARTTLS first' } } })
  }
  const config = {
    smtp: {
      ...(main.settings.some(({ name }) => name === 'myhostname') ? { hostname: main.value('myhostname') } : {}),
      listen: listenersOf(folder, main, report),
      ...(tls === null ? {} : { tls }),
      limits: limitsOf(main),
    },
    recipients: { mode: 'known', domains, directory: './clients.yaml', ...(aliases.length > 0 ? { aliases: './aliases.yaml' } : {}) },
    ...(rules.length > 0 ? { rules: './rules.yaml' } : {}),
    ...(restrictions.dnsLists.length > 0 ? { checks: { dnsLists: restrictions.dnsLists } } : {}),
    networks: networksOf(main, place('mynetworks'), folder, report),
    routes: translateRoutes(main, domains, place, folder, report),
  }
  accountForTheRest(main, file, report)
  const files = new Map([['tollgate.yaml', stringify(config)], ['clients.yaml', stringify(directory)]])
  if (aliases.length > 0) files.set('aliases.yaml', stringify({ aliases }))
  if (rules.length > 0) files.set('rules.yaml', rulesText(rules))
  return { files, report: report.lines.sort((a, b) => (a.file === b.file ? a.line - b.line : a.file === file ? -1 : b.file === file ? 1 : a.file < b.file ? -1 : 1)) }
}

/** Settings whose effect is in the files, as one look at what was made of them tells. */
const carried = new Map([
  ['myhostname', 'smtp.hostname'], ['message_size_limit', 'smtp.limits.messageBytes'], ['smtpd_recipient_limit', 'smtp.limits.recipientsPerTransaction'],
  ['smtpd_hard_error_limit', 'smtp.limits.errorsPerSession'], ['mynetworks', 'networks'], ['relay_domains', 'recipients.domains'],
  ['relay_recipient_maps', 'the directory'], ['virtual_alias_maps', 'the aliases'], ['virtual_alias_domains', 'recipients.domains'],
  ['virtual_mailbox_domains', 'recipients.domains'], ['virtual_mailbox_maps', 'the directory'], ['transport_maps', 'routes'], ['relayhost', 'routes'],
  ['relay_transport', 'routes'], ['virtual_transport', 'routes'], ['smtpd_tls_cert_file', 'smtp.tls'], ['smtpd_tls_key_file', 'smtp.tls'],
  ['smtpd_tls_chain_files', 'smtp.tls'], ['smtpd_tls_security_level', 'smtp.tls'], ['smtp_tls_security_level', 'routes, tls'],
  ['smtpd_use_tls', 'smtp.tls'], ['smtp_use_tls', 'routes, tls'], ['inet_interfaces', 'smtp.listen'], ['header_checks', 'the rules'],
  ['mydomain', 'the value of other settings'], ['myorigin', 'the targets of aliases'], ...restrictionLists.map((name): [string, string] => [name, 'the rules']),
])

function accountForTheRest(main: MainCf, file: string, report: ImportReport): void {
  const counts = new Map<string, number>()
  for (const { name, line } of main.settings) counts.set(name, line)
  const used = new Set(main.settings.flatMap(({ raw }) => [...raw.matchAll(/\$[{(]?(\w+)/g)].map((found) => found[1]!)))
  for (const setting of main.settings) {
    const here = placeOf(file, setting)
    if (counts.get(setting.name) !== setting.line) report.irrelevant(here, `line ${counts.get(setting.name)} sets it again, and the last one counts`)
    else if (report.hasToldOf(file, setting.line)) continue
    else if (setting.name === 'smtp_tls_security_level' && !['', 'none', 'may', 'encrypt'].includes(main.value(setting.name))) {
      report.left(here, 'Policies of TLS by DNS or fingerprint are not kept: check `tls` of each route.')
    } else if (carried.has(setting.name)) report.translated(here, carried.get(setting.name)!)
    else {
      const why = main.value(setting.name) === '' ? 'it is empty' : used.has(setting.name) ? 'other settings hold its value' : whyIrrelevant(setting.name, main.value(setting.name))
      if (why === null) report.left(here, remedyOfSetting(setting.name))
      else report.irrelevant(here, why)
    }
  }
}

function limitsOf(main: MainCf): Record<string, number> {
  const limits: Record<string, number> = {}
  const bytes = Number(main.value('message_size_limit'))
  if (bytes > 0) limits['messageBytes'] = bytes
  const recipients = Number(main.value('smtpd_recipient_limit'))
  if (recipients > 0) limits['recipientsPerTransaction'] = Math.max(recipients, 100)
  const errors = Number(main.value('smtpd_hard_error_limit'))
  if (errors > 0) limits['errorsPerSession'] = errors
  return limits
}

function tlsOf(main: MainCf, folder: string): { certificate: string; key: string } | null {
  const level = main.value('smtpd_tls_security_level')
  if (level === 'none' || (level === '' && main.value('smtpd_use_tls') !== 'yes')) return null
  const [first, second] = wordsOf(main.value('smtpd_tls_chain_files'))
  const certificate = second ?? first ?? main.value('smtpd_tls_cert_file')
  const key = first ?? (main.value('smtpd_tls_key_file') || certificate)
  const whole = (name: string): string => (name.startsWith('/') ? name : join(folder, name))
  return certificate === '' || certificate === 'none' ? null : { certificate: whole(certificate), key: whole(key) }
}

const rulesText = (rules: readonly Rule[]): string => stringify({ name: 'From Postfix', rules }, { aliasDuplicateObjects: false })

function areRulesUsable(rules: readonly Rule[]): boolean {
  return !('faults' in parseRuleset(rulesText(rules), 'rules.yaml', new Map()))
}

