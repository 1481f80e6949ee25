/**
 * A whole rule set out of a level for each group: 1 is strict, 10 is lax.
 *
 * Owns    the thresholds, which are the same at every level, so that a weight means the same in all groups.
 * Leaves  what each level sets to the table of level-rules.ts; publishing to the one who asked.
 * Why     a rule set like any other comes out: nothing in it refers back to levels, and it can be changed by hand.
 */
import type { Stage } from '../contracts/vocabulary.ts'
import { levelGroups, levelRules, type LevelGroup, type LevelRule } from './level-rules.ts'
import type { Branch, Rule, Ruleset } from './ruleset.ts'

export const strictestLevel = 1
export const laxestLevel = 10
export const middleLevel = 5
const markAt = 5
const rejectAt = 8

export type Levels = Readonly<Record<LevelGroup, number>>

export type LevelOptions = {
  /** Countries of the list `far-away`, two letters each. */
  farAway?: readonly string[]
}

export function sameLevels(level: number): Levels {
  return Object.fromEntries(levelGroups.map((group) => [group, level])) as Levels
}

export type LevelSetting = {
  group: LevelGroup
  level: number
  ruleId: string
  name: string
  stage: Stage
  branch: Branch | null
}

/** What the levels set, rule by rule; `branch` is `null` where a level leaves the rule out. */
export function levelSettings(levels: Levels): LevelSetting[] {
  return levelGroups.flatMap((group) =>
    levelRules[group].map((rule) => ({
      group,
      level: levels[group],
      ruleId: idOf(group, rule),
      name: rule.name,
      stage: rule.stage,
      branch: branchAt(rule, levels[group]),
    })),
  )
}

export function levelRuleset(levels: Levels, { farAway = [] }: LevelOptions = {}): Ruleset {
  const rules = levelGroups.flatMap((group) =>
    levelRules[group].flatMap((rule): Rule[] => {
      const then = branchAt(rule, levels[group])
      if (then === null) return []
      const { name, stage, when } = rule
      return [{ id: idOf(group, rule), revision: 1, name, stage, mode: 'active', when, then }]
    }),
  )
  const needsCountries = rules.some(({ when }) => JSON.stringify(when).includes('"far-away"'))
  return {
    name: `Levels: ${levelGroups.map((group) => `${group} ${levels[group]}`).join(', ')}`,
    markAt,
    rejectAt,
    subjectTag: '[SPAM]',
    decideHeaderRulesAt: 'complete',
    lists: needsCountries ? { 'far-away': [...farAway] } : {},
    rules,
  }
}

function idOf(group: LevelGroup, { id }: LevelRule): string {
  return `${group}.${id}`
}

function branchAt({ weights, rejectUpto, deferUpto }: LevelRule, level: number): Branch | null {
  if (!Number.isInteger(level) || level < strictestLevel || level > laxestLevel)
    throw new RangeError(`A level is a whole number from ${strictestLevel} to ${laxestLevel}, and not ${level}`)
  if (rejectUpto !== undefined && level <= rejectUpto.level) return { reject: { text: rejectUpto.text } }
  if (deferUpto !== undefined && level <= deferUpto.level) return { defer: { text: deferUpto.text } }
  const weight = weights[level - 1]!
  return weight === 0 ? null : { weight }
}
