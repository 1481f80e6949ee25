/**
 * What one version of a rule set changes against another, for those who must approve it.
 *
 * Owns    which rules are the same rule (by id), and in which of their parts they differ.
 * Why     by meaning and not by lines: defaults are written out and the order of keys does not matter. A rule has
 *         moved where it runs before or after others of its stage than it did; a rule that only stands elsewhere in
 *         the file because others came or went has not.
 */
import type { Rule, Ruleset } from './ruleset.ts'
import { canonicalJson } from './ruleset-hash.ts'

export type FieldChange = { field: string; before: unknown; after: unknown }

export type RuleChange = {
  ruleId: string
  fields: FieldChange[]
  /** It means something else, and its revision is the same: hits in the log cannot be told apart. */
  isRevisionForgotten: boolean
}

export type ListChange = {
  name: string
  addedCount: number
  removedCount: number
  kind: 'added' | 'removed' | 'changed'
}

export type RulesetDiff = {
  isSame: boolean
  /** Name, thresholds, tag, and when header rules are decided. */
  settings: FieldChange[]
  added: Rule[]
  removed: Rule[]
  changed: RuleChange[]
  /** Ids, in the new order. */
  moved: string[]
  lists: ListChange[]
}

const settingNames = ['name', 'markAt', 'rejectAt', 'subjectTag', 'decideHeaderRulesAt'] as const
const ruleFields = ['revision', 'name', 'stage', 'mode', 'when', 'then', 'else', 'unknown'] as const
/** What a change of does not change what the rule means. */
const meaninglessFields = ['revision', 'name', 'mode']

export function diffRulesets(before: Ruleset, after: Ruleset): RulesetDiff {
  const oldRules = new Map(before.rules.map((rule) => [rule.id, rule]))
  const newRules = new Map(after.rules.map((rule) => [rule.id, rule]))
  const diff = {
    settings: fieldChanges(settingNames, before, after),
    added: after.rules.filter(({ id }) => !oldRules.has(id)),
    removed: before.rules.filter(({ id }) => !newRules.has(id)),
    changed: after.rules.flatMap((rule) => ruleChange(oldRules.get(rule.id), rule)),
    moved: movedIds(before.rules, after.rules),
    lists: listChanges(before.lists, after.lists),
  }
  return { isSame: Object.values(diff).every((changes) => changes.length === 0), ...diff }
}

function ruleChange(before: Rule | undefined, after: Rule): RuleChange[] {
  if (before === undefined) return []
  const fields = fieldChanges(ruleFields, before, after)
  if (fields.length === 0) return []
  const isOther = fields.some(({ field }) => !meaninglessFields.includes(field))
  return [{ ruleId: after.id, fields, isRevisionForgotten: isOther && before.revision === after.revision }]
}

function fieldChanges<Value extends object>(
  names: readonly (keyof Value & string)[],
  before: Value,
  after: Value,
): FieldChange[] {
  return names
    .filter((name) => textOf(before[name]) !== textOf(after[name]))
    .map((field) => ({ field, before: before[field] ?? null, after: after[field] ?? null }))
}

function textOf(value: unknown): string {
  return canonicalJson(value ?? null)
}

/** The fewest rules that had to move: all that are in no longest run that kept its order. */
function movedIds(before: readonly Rule[], after: readonly Rule[]): string[] {
  const places = new Map(before.map((rule, index) => [rule.id, { index, stage: rule.stage }]))
  const stages = new Set(after.map(({ stage }) => stage))
  return [...stages].flatMap((stage) => {
    const kept = after.filter((rule) => rule.stage === stage && places.get(rule.id)?.stage === stage)
    const still = longestRising(kept.map(({ id }) => places.get(id)!.index))
    return kept.filter((_, index) => !still.has(index)).map(({ id }) => id)
  })
}

/** Positions of a longest rising subsequence, by patience sorting. */
function longestRising(numbers: readonly number[]): Set<number> {
  const tails: number[] = []
  const previous: number[] = []
  for (const [position, number] of numbers.entries()) {
    let low = 0
    let high = tails.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (numbers[tails[middle]!]! < number) low = middle + 1
      else high = middle
    }
    previous[position] = low === 0 ? -1 : tails[low - 1]!
    tails[low] = position
  }
  const rising = new Set<number>()
  for (let at = tails.at(-1) ?? -1; at >= 0; at = previous[at]!) rising.add(at)
  return rising
}

function listChanges(before: Ruleset['lists'], after: Ruleset['lists']): ListChange[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort()
  return names.flatMap((name) => {
    const old = new Set(Object.hasOwn(before, name) ? before[name] : [])
    const now = new Set(Object.hasOwn(after, name) ? after[name] : [])
    const addedCount = [...now].filter((entry) => !old.has(entry)).length
    const removedCount = [...old].filter((entry) => !now.has(entry)).length
    const kind = !Object.hasOwn(before, name) ? 'added' : !Object.hasOwn(after, name) ? 'removed' : 'changed'
    return kind === 'changed' && addedCount + removedCount === 0 ? [] : [{ name, addedCount, removedCount, kind }]
  })
}
