import { expect, it } from 'vitest'
import { withInlineLists } from './inline-lists.ts'
import { parseRuleset } from './parse-ruleset.ts'
import { rulesetHash } from './ruleset-hash.ts'

const lists = new Map([['traps.txt', '# ours\na@b.test\n"quoted"\n- c\nyes\n12\n']])
const text = `# Our rules
markAt: 5
lists:
  traps: { file: traps.txt } # from the shop
  own: [x@y.test]
rules:
  # casinos
  - { id: r, revision: 1, name: r, stage: rcpt, mode: active, when: { attribute: recipient, in: traps }, then: { weight: 1 } }
`
const hashOf = (source: string, files: Map<string, string> | null) => {
  const parsed = parseRuleset(source, 'rules', files)
  if ('faults' in parsed) throw new Error(parsed.faults[0]!.message)
  return rulesetHash(parsed.ruleset)
}

it('a text with its list files in it is the same rule set without those files, and keeps its comments', () => {
  const whole = withInlineLists(text, lists)
  expect(hashOf(whole, null)).toBe(hashOf(text, lists))
  expect(whole).toContain('# Our rules')
  expect(whole).toContain('# casinos')
  const json = JSON.stringify({ lists: { traps: { file: 'traps.txt' } } })
  expect(hashOf(withInlineLists(json, lists), null)).toBe(hashOf(json, lists))
})

it('a text without list files, with faults, or whose list is not there comes back as it is', () => {
  for (const same of ['', 'rules: [', 'lists: {own: [a]}', 'lists: {t: {file: none.txt}}', '[]', '['.repeat(9_000)])
    expect(withInlineLists(same, lists)).toBe(same)
})
