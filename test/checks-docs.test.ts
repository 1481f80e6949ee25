/** Holds docs/checks.md against the registry of checks and the reader of rule sets. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { expect, it } from 'vitest'
import { packageRoot } from '../services/kit/package-root.ts'
import { builtInChecks, checkFamilies } from '../services/rules/check-names.ts'
import { parseRuleset } from '../services/rules/parse-ruleset.ts'
import { configOf } from './gateway-harness.ts'

const text = readFileSync(path.join(packageRoot, 'docs', 'checks.md'), 'utf8')
const sections = new Map(
  text
    .split('\n## ')
    .slice(1)
    .map((section) => [section.split('\n')[0]!.replaceAll('\\', ''), section]),
)
const blocks = [...text.matchAll(/```yaml\n([^`]+)```/g)].map(([, block]) => block!)

it('docs/checks.md tells each check with all of its results', () => {
  for (const { name, results } of [...builtInChecks, ...checkFamilies.filter(({ prefix }) => prefix !== 'plugin-')]) {
    const section = sections.get(name)
    expect(section, name).toBeDefined()
    for (const result of results ?? []) expect(section, name).toContain(`\`${result}\``)
  }
})

it('every example in docs/checks.md is a rule set or a configuration without a fault', () => {
  expect(blocks.length).toBeGreaterThan(12)
  for (const block of blocks) {
    if (block.startsWith('# tollgate.yaml')) configOf(block)
    else expect(parseRuleset(`markAt: null\nrejectAt: null\n${block}`, 'checks.md')).not.toHaveProperty('faults')
  }
})
