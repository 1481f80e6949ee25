/**
 * Who receives: the listed domains, the directory and the aliases, out of the address classes of Postfix.
 *
 * Owns    one client for each domain, so that the first report shows something and is easily regrouped.
 * Limits  aliases of whole domains, and addresses without a domain, are told and left out.
 */
import { ImportReport, type Place } from './import-report.ts'
import { wordsOf, type MainCf } from './read-main-cf.ts'
import { readPostfixMap, sourceFile, type MapEntry } from './read-postfix-map.ts'
import { readFileSync } from 'node:fs'

export type Directory = { clients: { id: string; name: string; addresses: string[] }[] }
export type AliasEntry = { address: string; to: string[] }
export type AddressTranslation = { domains: string[]; directory: Directory; aliases: AliasEntry[] }
type PlaceOfSetting = (name: string) => Place

const domainPattern = /^[a-z0-9-]+(\.[a-z0-9-]+)*$/
const addressPattern = /^[^@\s<>]+@[^@\s<>]+$/

export function translateAddresses(main: MainCf, place: PlaceOfSetting, folder: string, report: ImportReport): AddressTranslation {
  const domains = new Map<string, Set<string>>()
  const entriesOf = (name: string): MapEntry[] => mapEntries(main.value(name), place(name), folder, report)
  const addDomains = (name: string): string[] => domainsOf(main.value(name), place(name), folder, report)
  const aliasEntries = entriesOf('virtual_alias_maps')

  for (const domain of addDomains('relay_domains')) domains.set(domain, new Set())
  addKnown('relay_recipient_maps', [...domains.keys()])
  const mailboxDomains = addDomains('virtual_mailbox_domains')
  for (const domain of mailboxDomains) if (!domains.has(domain)) domains.set(domain, new Set())
  addKnown('virtual_mailbox_maps', mailboxDomains)
  const aliasDomains = new Set(main.value('virtual_alias_domains') === main.value('virtual_alias_maps')
    ? aliasEntries.map(({ key }) => key.toLowerCase()).filter((key) => domainPattern.test(key))
    : addDomains('virtual_alias_domains'))
  for (const domain of aliasDomains) if (!domains.has(domain)) domains.set(domain, new Set())

  /** Without a table of recipients Postfix takes every address of the domains. */
  function addKnown(name: string, of: readonly string[]): void {
    if (main.value(name) === '') {
      for (const domain of of) domains.get(domain)!.add(`*@${domain}`)
      return
    }
    for (const { key, value, file, line } of entriesOf(name)) {
      const here = { file, line, subject: `${key} ${value}`.trim() }
      const address = key.startsWith('@') ? `*${key}` : key
      const domain = address.slice(address.lastIndexOf('@') + 1).toLowerCase()
      if (!addressPattern.test(address)) report.left(here, 'Write the whole address, with its domain, into the directory.')
      else if (!of.includes(domain)) report.irrelevant(here, `${domain} is no domain of this kind, so Postfix does not ask for it`)
      else {
        domains.get(domain)!.add(address.toLowerCase())
        report.translated(here, 'in the directory')
      }
    }
  }

  const origin = main.value('myorigin').startsWith('/') ? main.value('myhostname') : main.value('myorigin')
  const aliases = new Map<string, string[]>()
  for (const { key, value, file, line } of aliasEntries) {
    const here = { file, line, subject: `${key} ${value}` }
    const targets = wordsOf(value).map((word) => (word.includes('@') ? word : `${word}@${origin}`))
    const domain = key.slice(key.lastIndexOf('@') + 1).toLowerCase()
    if (domainPattern.test(key.toLowerCase()) && aliasDomains.has(key.toLowerCase())) report.translated(here, 'a listed domain')
    else if (!addressPattern.test(key) || targets.length === 0 || !targets.every((target) => addressPattern.test(target))) {
      report.left(here, 'Write an alias for each address that is meant: docs/configuration.md, Aliases.')
    } else if (!domains.has(domain)) report.left(here, `${domain} is none of the listed domains: list it under recipients.domains where mail for it shall be accepted.`)
    else {
      const before = aliases.get(key.toLowerCase())
      if (before !== undefined) report.irrelevant(here, 'the address stands before in the tables, and the first one counts')
      else if (goesInCircle(key.toLowerCase(), targets, aliases)) report.left(here, 'It goes in a circle: take one of the aliases out.')
      else {
        aliases.set(key.toLowerCase(), targets)
        domains.get(domain)!.add(key.toLowerCase())
        report.translated(here, 'an alias, and in the directory')
      }
    }
  }
  const clients = [...domains].map(([domain, addresses]) => ({ id: domain.slice(0, 63), name: domain, addresses: [...addresses].sort() }))
  return { domains: [...domains.keys()], directory: { clients }, aliases: [...aliases].map(([address, to]) => ({ address, to })) }
}

function domainsOf(value: string, place: Place, folder: string, report: ImportReport): string[] {
  return wordsOf(value).flatMap((word) => {
    const here = { ...place, subject: `${place.subject.split(' =')[0]}: ${word}` }
    if (word.startsWith('/')) {
      try {
        return domainsOf(readFileSync(sourceFile(word, folder), 'utf8').replace(/^\s*#.*$/gm, ''), place, folder, report)
      } catch (error) {
        report.left(here, `${(error as Error).message}: put the domains of the file under recipients.domains.`)
        return []
      }
    }
    if (/^[a-z]+:/.test(word)) {
      return mapEntries(word, place, folder, report).flatMap(({ key, value: text, file, line }) => {
        const entry = { file, line, subject: `${key} ${text}`.trim() }
        if (!domainPattern.test(key.toLowerCase())) report.left(entry, 'Put the domain under recipients.domains.')
        else report.translated(entry, 'a listed domain')
        return domainPattern.test(key.toLowerCase()) ? [key.toLowerCase()] : []
      })
    }
    if (domainPattern.test(word.toLowerCase())) return [word.toLowerCase()]
    report.left(here, 'Domains are listed one by one: a subdomain is another domain. Put those that are meant under recipients.domains.')
    return []
  })
}

export function mapEntries(value: string, place: Place, folder: string, report: ImportReport): MapEntry[] {
  return wordsOf(value).flatMap((reference) => {
    const table = readPostfixMap(reference, place, folder)
    const here = { ...place, subject: `${place.subject.split(' =')[0]}: ${reference}` }
    if ('remedy' in table) {
      report.left(here, `${table.remedy.charAt(0).toUpperCase()}${table.remedy.slice(1)}.`)
      return []
    }
    if (table.kind === 'keys') return table.entries
    for (const { key, value: text, file, line } of table.entries) {
      report.left({ file, line, subject: `${key} ${text}` }, 'Name the addresses or domains that the pattern is for, one by one.')
    }
    return []
  })
}

function goesInCircle(key: string, targets: readonly string[], aliases: ReadonlyMap<string, readonly string[]>): boolean {
  const seen = new Set<string>()
  const walk = (address: string): boolean => {
    if (address === key) return true
    if (seen.has(address)) return false
    seen.add(address)
    return (aliases.get(address) ?? []).map((target) => target.toLowerCase()).some((target) => target !== address && walk(target))
  }
  return targets.map((target) => target.toLowerCase()).some((target) => target !== key && walk(target))
}
