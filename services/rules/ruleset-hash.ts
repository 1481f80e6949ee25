/**
 * The identity of a rule set: equal content, whatever the order of its keys or the format of its file, has one hash.
 *
 * Why  each list goes into the hash by its own hash, so that a list of 100,000 entries need not stand in the event
 *      log for the hash of the whole to be checked (DESIGN §3, `policy.loaded`).
 */
import type { Ruleset } from './ruleset.ts'
import { sha256Hex } from './sha256.ts'

/** Lists of at most this many entries are logged as they are. */
const loggedListEntries = 1_000

export type LoggedList = { hash: string; entryCount: number; entries: readonly string[] | null }
export type LoggedRuleset = Omit<Ruleset, 'lists'> & { lists: Record<string, LoggedList> }

export function rulesetHash(ruleset: Ruleset): string {
  const lists = Object.fromEntries(Object.entries(ruleset.lists).map(([name, entries]) => [name, listHash(entries)]))
  return sha256Hex(canonicalJson({ ...ruleset, lists }))
}

/** The content of `policy.loaded`: everything that the hash covers, long lists by their hash and size alone. */
export function loggedRuleset(ruleset: Ruleset): LoggedRuleset {
  const lists = Object.entries(ruleset.lists).map(([name, entries]): [string, LoggedList] => [
    name,
    {
      hash: listHash(entries),
      entryCount: entries.length,
      entries: entries.length <= loggedListEntries ? entries : null,
    },
  ])
  return { ...ruleset, lists: Object.fromEntries(lists) }
}

/** JSON with sorted keys and without undefined members: one text for one value. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .sort(([left], [right]) => (left < right ? -1 : left > right ? 1 : 0))
    return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`).join(',')}}`
  }
  return JSON.stringify(value)
}

function listHash(entries: readonly string[]): string {
  return sha256Hex(canonicalJson(entries))
}
