/**
 * Turns an untrusted value into a rule set, or into all of its faults at once, each with its path.
 *
 * Owns    every check a rule set passes before it may judge mail, and the defaults of what may be left out.
 * Leaves  text, lines and columns to parse-ruleset.ts; conditions to condition-faults.ts.
 * Why     one validator for files, for the API and for a draft in the browser, so that none is laxer.
 */
import { stages, type Stage } from '../contracts/vocabulary.ts'
import { branchFaults } from './branch-faults.ts'
import { conditionFaults } from './condition-faults.ts'
import { FaultList, isMember, isPlainObject, nearest, type Path, type PathFault } from './fault-list.ts'
import {
  listNamePattern,
  plainTextPattern,
  ruleIdPattern,
  ruleModes,
  rulesetLimits,
  type Branch,
  type Condition,
  type Rule,
  type RuleMode,
  type Ruleset,
} from './ruleset.ts'

const rulesetKeys = ['name', 'markAt', 'rejectAt', 'subjectTag', 'decideHeaderRulesAt', 'lists', 'rules']
const ruleKeys = ['id', 'revision', 'name', 'stage', 'mode', 'when', 'then', 'else', 'unknown']

export function rulesetOf(value: unknown): { ruleset: Ruleset } | { faults: PathFault[] } {
  const faults = new FaultList()
  if (!isPlainObject(value)) {
    faults.add([], 'A rule set is a mapping with the keys markAt, rejectAt, lists and rules')
    return { faults: faults.all }
  }
  faults.addUnknownKeys([], value, rulesetKeys)
  if (value.name !== undefined) faults.addUnlessText(['name'], value.name, plainTextPattern, 200)
  if (value.subjectTag !== undefined) faults.addUnlessText(['subjectTag'], value.subjectTag, plainTextPattern, 60, 1)
  for (const key of ['markAt', 'rejectAt'] as const) {
    if (value[key] !== undefined && value[key] !== null) faults.addUnlessWeight([key], value[key])
  }
  if (typeof value.markAt === 'number' && typeof value.rejectAt === 'number' && value.markAt > value.rejectAt) {
    faults.add(['markAt'], `markAt ${value.markAt} is above rejectAt ${value.rejectAt}: nothing would be marked`)
  }
  if (value.decideHeaderRulesAt !== undefined && !isMember(['complete', 'header'], value.decideHeaderRulesAt)) {
    faults.add(['decideHeaderRulesAt'], 'decideHeaderRulesAt is complete or header')
  }
  addListFaults(faults, value.lists)
  const listNames = isPlainObject(value.lists) ? new Map(Object.entries(value.lists)) : new Map<string, unknown>()
  addRulesFaults(faults, value.rules, listNames)
  if (faults.all.length > 0) return { faults: faults.all }
  return { ruleset: withDefaults(value) }
}

function addListFaults(faults: FaultList, lists: unknown): void {
  if (lists === undefined) return
  if (!isPlainObject(lists)) return faults.add(['lists'], 'lists is a mapping of names to lists of texts')
  for (const [name, entries] of Object.entries(lists)) {
    if (!new RegExp(listNamePattern).test(name)) {
      faults.add(
        ['lists', name],
        `"${name}" is no name for a list`,
        'Write lower-case letters, digits, - and _, a letter first',
      )
    }
    if (!Array.isArray(entries)) {
      faults.add(['lists', name], 'A list holds texts, one per entry')
      continue
    }
    for (const [index, entry] of entries.entries()) {
      if (typeof entry === 'string' && entry.length > 0 && entry.length <= rulesetLimits.listEntryLength) continue
      faults.add(
        ['lists', name, index],
        `An entry is a text of 1 to ${rulesetLimits.listEntryLength} characters`,
        typeof entry === 'number' || typeof entry === 'boolean' ? `Put it in quotes: "${entry}"` : undefined,
      )
    }
  }
}

function addRulesFaults(faults: FaultList, rules: unknown, lists: ReadonlyMap<string, unknown>): void {
  if (rules === undefined) return
  if (!Array.isArray(rules)) return faults.add(['rules'], 'rules is a list of rules')
  if (rules.length > rulesetLimits.rules) {
    faults.add(
      ['rules'],
      `${rules.length} rules, and at most ${rulesetLimits.rules} are allowed`,
      'Put values into lists',
    )
  }
  const firstIndexOf = new Map<string, number>()
  for (const [index, rule] of rules.entries()) {
    const path: Path = ['rules', index]
    addRuleFaults(faults, path, rule, lists)
    if (!isPlainObject(rule) || typeof rule.id !== 'string') continue
    const first = firstIndexOf.get(rule.id)
    if (first === undefined) firstIndexOf.set(rule.id, index)
    else
      faults.add(
        [...path, 'id'],
        `The id "${rule.id}" is already that of rule ${first + 1}`,
        'Give it an id of its own',
      )
  }
}

function addRuleFaults(faults: FaultList, path: Path, rule: unknown, lists: ReadonlyMap<string, unknown>): void {
  if (!isPlainObject(rule)) return faults.add(path, 'A rule is a mapping with the keys id, stage, when and then')
  faults.addUnknownKeys(path, rule, ruleKeys)
  if (typeof rule.id !== 'string' || !new RegExp(ruleIdPattern).test(rule.id)) {
    faults.add(
      rule.id === undefined ? path : [...path, 'id'],
      rule.id === undefined ? 'A rule needs an id' : 'The id does not have the form of one',
      'Write lower-case letters, digits, ., - and _, at most 63',
    )
  }
  if (rule.name !== undefined) faults.addUnlessText([...path, 'name'], rule.name, plainTextPattern, 200, 1)
  const { revision } = rule
  if (
    revision !== undefined &&
    !(Number.isInteger(revision) && Number(revision) >= 1 && Number(revision) < 2 ** 31)
  ) {
    faults.add([...path, 'revision'], 'A revision is a whole number from 1')
  }
  if (rule.mode !== undefined && !isMember(ruleModes, rule.mode)) {
    faults.add([...path, 'mode'], `A mode is one of ${ruleModes.join(', ')}`, nearest(String(rule.mode), ruleModes))
  }
  const stage = addStageFault(faults, path, rule.stage)
  if (rule.when === undefined) faults.add(path, 'A rule needs a condition: when')
  else conditionFaults(faults, [...path, 'when'], rule.when, stage, lists)
  if (rule.then === undefined) faults.add(path, 'A rule needs something to do: then')
  else branchFaults(faults, [...path, 'then'], rule.then)
  if (rule.else !== undefined) branchFaults(faults, [...path, 'else'], rule.else)
  if (rule.unknown !== undefined) branchFaults(faults, [...path, 'unknown'], rule.unknown)
}

function addStageFault(faults: FaultList, path: Path, stage: unknown): Stage | null {
  if (isMember(stages, stage)) return stage
  const wrong = stage === undefined ? 'A rule needs a stage' : `"${String(stage)}" is no stage`
  const message = `${wrong}: one of ${stages.join(', ')}`
  faults.add(stage === undefined ? path : [...path, 'stage'], message, nearest(String(stage), stages))
  return null
}

/** Keys in one order and every default written out, so that a stored rule set does not depend on this version. */
function withDefaults(value: Record<string, unknown>): Ruleset {
  const rules = (value.rules ?? []) as Record<string, unknown>[]
  return {
    ...(value.name === undefined ? {} : { name: value.name as string }),
    markAt: (value.markAt ?? null) as number | null,
    rejectAt: (value.rejectAt ?? null) as number | null,
    ...(value.subjectTag === undefined ? {} : { subjectTag: value.subjectTag as string }),
    decideHeaderRulesAt: (value.decideHeaderRulesAt ?? 'complete') as 'complete' | 'header',
    lists: (value.lists ?? {}) as Record<string, string[]>,
    rules: rules.map(ruleWithDefaults),
  }
}

function ruleWithDefaults(rule: Record<string, unknown>): Rule {
  return {
    id: rule.id as string,
    revision: (rule.revision ?? 1) as number,
    name: (rule.name ?? rule.id) as string,
    stage: rule.stage as Stage,
    mode: (rule.mode ?? 'active') as RuleMode,
    when: rule.when as Condition,
    then: rule.then as Branch,
    ...(rule.else === undefined ? {} : { else: rule.else as Branch }),
    ...(rule.unknown === undefined ? {} : { unknown: rule.unknown as Branch }),
  }
}
