/**
 * An address pattern as a condition on an address column and its domain column.
 *
 * Why  each form that an index answers has its own SQL: a whole address, a domain, a beginning; everything else goes
 *      by the trigram index.
 */
import { sql, type RawBuilder } from 'kysely'
import { normalizedAddress, normalizedDomain } from '../../contracts/address.ts'
import type { TextPattern } from '../../contracts/trace-query.ts'

export type AddressColumns = {
  /** Compared as it is: give the column in the case in which `lowersLocalPart` leaves an address. */
  address: RawBuilder<string>
  domain: RawBuilder<string>
  lowersLocalPart: boolean
}

export function addressCondition(pattern: TextPattern, columns: AddressColumns): RawBuilder<boolean> {
  const { address, domain } = columns
  const text = pattern.text.replace(/^<(.*)>$/s, '$1')
  const hasStar = !pattern.isQuoted && text.includes('*')
  const folded = (part: string) => (columns.lowersLocalPart ? part.toLowerCase() : part)
  if (!hasStar) {
    if (text === '') return sql<boolean>`${address} = ''`
    if (text.startsWith('@')) return equalsAny(domain, domainForms(text.slice(1)))
    const at = text.lastIndexOf('@')
    if (at < 0) return contains(address, text)
    if (at === text.length - 1) return sql<boolean>`${address} like ${`${likeText(folded(text))}%`}`
    return equalsAny(address, [
      normalizedAddress(text, { lowerCaseLocalPart: columns.lowersLocalPart }),
      folded(text),
    ])
  }
  if (/^\*@[^*]+$/.test(text)) return equalsAny(domain, domainForms(text.slice(2)))
  if (/^[^*]+\*$/.test(text)) return sql<boolean>`${address} like ${`${likeText(folded(text.slice(0, -1)))}%`}`
  return sql<boolean>`${address} ilike ${starsToLike(text)}`
}

export function domainForms(domain: string): string[] {
  return [normalizedDomain(domain), domain.toLowerCase()]
}

export function equalsAny(column: RawBuilder<string>, values: string[]): RawBuilder<boolean> {
  const distinct = [...new Set(values)]
  return distinct.length === 1
    ? sql<boolean>`${column} = ${distinct[0]}`
    : sql<boolean>`${column} = any(${distinct}::text[])`
}

/** Anywhere in the text, in any case. */
export function contains(column: RawBuilder<string>, text: string): RawBuilder<boolean> {
  return sql<boolean>`${column} ilike ${`%${likeText(text)}%`}`
}

/** Text with the signs that `like` reads made plain. */
export function likeText(text: string): string {
  return text.replaceAll(/[\\%_]/g, '\\$&')
}

/** `*` stands for any run of characters, the rest for itself. */
export function starsToLike(text: string): string {
  return text.split('*').map(likeText).join('%')
}
