/**
 * The look-up tables of Postfix, read from the text that they were made of.
 *
 * Owns    which types can be read, and what to do about the others.
 * Why     the source beside a `hash:` file is read, never the database: that one needs a library for each type, and may
 *         be older than its source.
 * Fails   never throws: a table that cannot be read is a remedy.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { logicalLines } from './read-main-cf.ts'

/** `file` and `line` are where the entry stands; of an inline table where the setting does. */
export type MapEntry = { key: string; value: string; file: string; line: number }

export type PostfixMap = { kind: 'keys' | 'patterns' | 'networks'; entries: MapEntry[] } | { remedy: string }

const sourceTypes = new Set(['hash', 'btree', 'dbm', 'cdb', 'lmdb', 'sdbm', 'texthash'])
const askedTypes = new Map([
  ['ldap', 'the directory server'], ['mysql', 'the database'], ['pgsql', 'the database'], ['sqlite', 'the database'],
  ['mongodb', 'the database'], ['memcache', 'the cache'], ['tcp', 'the server'], ['socketmap', 'the server'], ['nis', 'the server'],
])

/** `place` is that of the setting that names the table, `folder` holds main.cf; a proxy in front of a table changes nothing. */
export function readPostfixMap(reference: string, place: { file: string; line: number }, folder: string): PostfixMap {
  const plain = reference.replace(/^proxy:/, '')
  const colon = plain.indexOf(':')
  const type = colon < 0 ? '' : plain.slice(0, colon)
  const named = plain.slice(colon + 1)
  const name = type === 'inline' ? named : sourceFile(named, folder)
  if (type === 'inline') return { kind: 'keys', entries: inlineEntries(name, place) }
  if (type === 'static') return { remedy: `static tables answer everything: name the domains or addresses that are meant` }
  if (type === 'pipemap' || type === 'unionmap') return { remedy: 'list the tables that it puts together by themselves, and import again' }
  const owner = askedTypes.get(type)
  if (owner !== undefined) {
    return { remedy: `export what ${owner} holds into a text file of keys and values, name it as texthash:, and import again` }
  }
  if (!sourceTypes.has(type) && !['regexp', 'pcre', 'cidr'].includes(type)) {
    return { remedy: `tables of the type "${type}" cannot be read: put the entries into a text file, name it as texthash:, and import again` }
  }
  let text: string
  try {
    text = readFileSync(name, 'utf8')
  } catch (error) {
    return { remedy: `${name} cannot be read (${(error as Error).message}): put the text of the table there, and import again` }
  }
  const kind = type === 'cidr' ? 'networks' : type === 'regexp' || type === 'pcre' ? 'patterns' : 'keys'
  return { kind, entries: logicalLines(text).map(({ line, text: whole }) => ({ ...entryOf(whole, kind), file: name, line })) }
}

/** A folder that was copied from another machine still names its files where they were. */
export function sourceFile(named: string, folder: string): string {
  const beside = named.startsWith('/etc/postfix/') ? join(folder, named.slice('/etc/postfix/'.length)) : null
  return beside !== null && existsSync(beside) ? beside : named
}

function entryOf(whole: string, kind: 'keys' | 'patterns' | 'networks'): { key: string; value: string } {
  // A pattern may hold blanks: it ends at the second one of the sign that it begins with.
  const found = kind === 'patterns' ? /^(!?([^\w\s]).*?(?<!\\)\2\w*)\s+(.*)$/.exec(whole) : null
  if (found !== null) return { key: found[1]!, value: found[3]! }
  const [, key, value] = /^(\S+)\s*(.*)$/.exec(whole)!
  return { key: key!, value: value! }
}

function inlineEntries(text: string, place: { file: string; line: number }): MapEntry[] {
  const inside = text.replace(/^\{\s*/, '').replace(/\s*\}$/, '')
  const parts = inside.match(/\{[^}]*\}|[^\s,]+(?:\s*=\s*[^\s,]+)?/g) ?? []
  return parts.flatMap((part) => {
    const [, key, value] = /^\{?\s*([^=\s]+)\s*=\s*(.*?)\s*\}?$/.exec(part) ?? []
    return key === undefined || value === undefined ? [] : [{ key, value, ...place }]
  })
}
