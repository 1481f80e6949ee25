/** mynetworks as networks of the class `trusted`; what it excludes is `public`, as the longest prefix counts. */
import { readFileSync } from 'node:fs'
import { ImportReport, type Place } from './import-report.ts'
import { wordsOf, type MainCf } from './read-main-cf.ts'
import { readPostfixMap, sourceFile } from './read-postfix-map.ts'

export type Network = { name: string; class: 'trusted' | 'public'; cidrs: string[] }

export function networksOf(main: MainCf, place: Place, folder: string, report: ImportReport): Network[] {
  const mayRelay = /\bpermit_mynetworks\b/.test(`${main.value('smtpd_relay_restrictions')} ${main.value('smtpd_recipient_restrictions')}`)
  if (!mayRelay) {
    report.irrelevant(place, 'no list of restrictions lets these networks relay (permit_mynetworks)')
    return []
  }
  const inside = new Set<string>()
  const outside = new Set<string>()
  const add = (word: string): void => {
    const here = { ...place, subject: `mynetworks: ${word}` }
    const isExcluded = word.startsWith('!')
    const name = isExcluded ? word.slice(1) : word
    const cidr = cidrOf(name)
    if (name.startsWith('/')) {
      try {
        for (const one of wordsOf(readFileSync(sourceFile(name, folder), 'utf8').replace(/^\s*#.*$/gm, ''))) add(isExcluded ? `!${one}` : one)
      } catch (error) {
        report.left(here, `${(error as Error).message}: put its networks under networks, class trusted.`)
      }
    } else if (cidr !== null && cidr.endsWith('/0')) report.left(here, 'Everybody could relay: name the networks that are meant, class trusted.')
    else if (cidr !== null) (isExcluded ? outside : inside).add(cidr)
    else if (/^[a-z]+:/.test(name)) {
      const table = readPostfixMap(name, place, folder)
      if ('remedy' in table || table.kind === 'patterns') return report.left(here, 'Put its networks under networks, class trusted.')
      for (const { key, value, file, line } of table.entries) {
        const entry = { file, line, subject: `${key} ${value}`.trim() }
        const found = cidrOf(key)
        if (found === null || found.endsWith('/0')) report.left(entry, 'Put the network that is meant under networks, class trusted.')
        else {
          inside.add(found)
          report.translated(entry, 'a trusted network')
        }
      }
    } else report.left(here, 'Networks are addresses here, no names: put those that are meant under networks, class trusted.')
  }
  wordsOf(main.value('mynetworks')).forEach(add)
  const networks: Network[] = []
  if (inside.size > 0) networks.push({ name: 'mynetworks', class: 'trusted', cidrs: [...inside] })
  if (outside.size > 0) networks.push({ name: 'excluded from mynetworks', class: 'public', cidrs: [...outside].filter((cidr) => !inside.has(cidr)) })
  return networks.filter(({ cidrs }) => cidrs.length > 0)
}

/** Postfix writes `[2001:db8::]/32`, and an address alone for itself. */
function cidrOf(word: string): string | null {
  const [, bracketed, plain, bits] = /^(?:\[([0-9a-f:.]+)\]|([0-9a-f:.]+))(?:\/(\d{1,3}))?$/i.exec(word) ?? []
  const address = bracketed ?? plain
  if (address === undefined || !/[.:]/.test(address)) return null
  return `${address}/${bits ?? (address.includes(':') ? 128 : 32)}`
}
