/**
 * header_checks as rules of the stage `complete`.
 *
 * Limits  patterns that begin with one header field; Postfix looks at the whole line `Name: value`, a rule at the value.
 * Leaves  the first pattern that fits decides in Postfix: an entry that does nothing (DUNNO) cannot shield the next.
 */
import type { ImportReport, Place } from './import-report.ts'
import { readPostfixMap } from './read-postfix-map.ts'
import { accessAction, freeId, type Rule } from './translate-restrictions.ts'

export function headerRules(
  references: readonly string[],
  place: Place,
  folder: string,
  report: ImportReport,
  areRulesUsable: (rules: readonly Rule[]) => boolean,
): Rule[] {
  const rules: Rule[] = []
  for (const reference of references) {
    const here = { ...place, subject: `header_checks: ${reference}` }
    const table = readPostfixMap(reference, place, folder)
    if ('remedy' in table || table.kind !== 'patterns') {
      report.left(here, 'remedy' in table ? table.remedy : 'Header checks are read from regexp: and pcre: tables.')
      continue
    }
    report.translated(here, `${table.entries.length} entries, told one by one`)
    for (const { key, value, file, line } of table.entries) {
      const entry = { file, line, subject: `${key} ${value}` }
      if (/^(WARN|INFO)\b/i.test(value)) {
        report.irrelevant(entry, 'the event log has subject and header fields of every message')
        continue
      }
      const when = headerCondition(key)
      const then = headerAction(value)
      const rule = when === null || then === null
        ? null
        : { id: freeId(`header-check-${line}`, rules), name: value.slice(0, 100), stage: 'complete', when, then }
      if (rule === null || !areRulesUsable([rule])) report.left(entry, 'Write a rule of the stage complete for it: docs/rules.md.')
      else {
        rules.push(rule)
        report.translated(entry, `rule ${rule.id}`)
      }
    }
  }
  return rules
}

function headerCondition(key: string): Record<string, unknown> | null {
  const [, pattern, flags] = /^[^\w\s](.*)[^\w\s](\w*)$/.exec(key) ?? []
  if (pattern === undefined || flags === undefined || key.startsWith('!') || /[^i]/.test(flags)) return null
  const [, name, rest] = /^\^([A-Za-z][\w-]*):(?:\s|\\s|\[\[:space:\]\])?[*+]?(.*)$/.exec(pattern) ?? []
  if (name === undefined || rest === undefined) return null
  // Both kinds of table ignore case, and the flag makes it matter.
  return { attribute: `header.${name}`, matches: `^${rest}`, ...(flags === 'i' ? { caseSensitive: true } : {}) }
}

function headerAction(value: string): Record<string, unknown> | null {
  const [, redirected] = /^REDIRECT\s+(\S+@\S+)$/i.exec(value) ?? []
  if (redirected !== undefined) return { redirect: redirected }
  const [, copied] = /^BCC\s+(\S+@\S+)$/i.exec(value) ?? []
  if (copied !== undefined) return { copy: copied }
  const [, name, text] = /^PREPEND\s+([\w-]+):\s*(.*)$/i.exec(value) ?? []
  if (name !== undefined) return { addHeader: { name, value: text } }
  return accessAction(value)
}
