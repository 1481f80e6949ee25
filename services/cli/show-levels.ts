/** `tollgate rules levels`: the rule set that levels make, whole, or what each of them sets. */
import { stringify } from 'yaml'
import { levelGroups, type LevelGroup } from '../rules/level-rules.ts'
import {
  laxestLevel,
  levelRuleset,
  levelSettings,
  sameLevels,
  strictestLevel,
  type Levels,
} from '../rules/level-ruleset.ts'
import type { Branch } from '../rules/ruleset.ts'
import { UsageError } from './outcome.ts'
import { textTable } from './text-table.ts'

export type ShowLevelsOptions = {
  level: number
  groups: readonly string[]
  farAway: readonly string[]
  format: 'yaml' | 'table'
}

export function showLevels({ level, groups, farAway, format }: ShowLevelsOptions): void {
  const levels: Levels = { ...sameLevels(level), ...Object.fromEntries(groups.map(groupLevel)) }
  if (format === 'table') return void process.stdout.write(settingsTable(levels))
  const ruleset = levelRuleset(levels, { farAway })
  process.stdout.write(
    `# A rule set out of levels, 1 is strict and 10 is lax: see docs/rules.md. Change it as you like.\n`,
  )
  process.stdout.write(
    stringify(
      { ...ruleset, rules: ruleset.rules.map(withoutDefaults) },
      { lineWidth: 0, aliasDuplicateObjects: false },
    ),
  )
}

/** `sender=2`. */
function groupLevel(text: string): [LevelGroup, number] {
  const [group, level] = [text.slice(0, text.indexOf('=')), Number(text.slice(text.indexOf('=') + 1))]
  const isLevel = Number.isInteger(level) && level >= strictestLevel && level <= laxestLevel
  if (!text.includes('=') || !(levelGroups as readonly string[]).includes(group) || !isLevel)
    throw new UsageError(
      `--group ${text}: write a group and a level from ${strictestLevel} to ${laxestLevel}, like sender=2. The groups are ${levelGroups.join(', ')}.`,
    )
  return [group as LevelGroup, level]
}

function withoutDefaults<Rule extends { revision: number; mode: string }>({
  revision: _revision,
  mode: _mode,
  ...rule
}: Rule): object {
  return rule
}

function settingsTable(levels: Levels): string {
  const rows = levelSettings(levels).map(({ group, level, ruleId, stage, branch }) => [
    group,
    String(level),
    ruleId.slice(group.length + 1),
    stage,
    branchText(branch),
  ])
  return textTable(['group', 'level', 'rule', 'stage', 'does'], rows, [24, 5, 30, 8, 70])
}

function branchText(branch: Branch | null): string {
  if (branch === null) return 'left out'
  if (branch.reject !== undefined) return `refuses: ${branch.reject.text}`
  if (branch.defer !== undefined) return `refuses for now: ${branch.defer.text}`
  return `${branch.weight! > 0 ? '+' : ''}${branch.weight}`
}
