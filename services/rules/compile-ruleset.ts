/**
 * A rule set made ready to judge: per stage the rules that run, in order, and the hash that names it in events.
 *
 * Why  patterns and lists are prepared once per rule set; the result never changes, so that a gateway swaps rule
 *      sets by swapping one reference, and a session keeps the one it began with.
 */
import { stages, type Stage } from '../contracts/vocabulary.ts'
import { attributeNamed, scoredCheckOf, type Attribute } from './attributes.ts'
import { compileCondition, listScope, type CompiledCondition, type ConditionScope } from './compile-condition.ts'
import type { Branch, Condition, Rule, Ruleset } from './ruleset.ts'
import { rulesetHash } from './ruleset-hash.ts'
import { flagHeaderName, markHeaderName, marksOf, scoreHeaderName } from './marks.ts'
import { PatternBank } from './pattern-bank.ts'

export type CompiledRule = {
  rule: Rule
  isShadow: boolean
  when: CompiledCondition
  then: CompiledBranch
  else: CompiledBranch | null
  unknown: CompiledBranch | null
}

export type CompiledBranch = {
  branch: Branch
  weightThousandths: number
  marks: readonly string[]
  /** Whether taking it changes or shows anything; an `else` or `unknown` that does nothing is not logged. */
  hasEffect: boolean
}

export type CompiledRuleset = {
  ruleset: Ruleset
  /** sha256 of the content, in hex. */
  hash: string
  /** Rules that are not off. */
  stageRules: Readonly<Record<Stage, readonly CompiledRule[]>>
  /** Attributes in use, by their number in compiled conditions. */
  attributes: readonly Attribute[]
  /** Patterns by stage and attribute; conditions know theirs by its position. */
  banks: readonly PatternBank[]
  /** Lower-case names of the headers that rules ask for: the gateway logs these whatever else it logs. */
  headerNames: ReadonlySet<string>
  /** Lower-case names of the headers that marks of this rule set may add: whoever sees one must be able to trust it. */
  markHeaderNames: readonly string[]
  /** What rules of each stage ask for, shadow ones included: a gateway need find out nothing else, nor earlier. */
  asksAt: Readonly<Record<Stage, StageNeeds>>
}

export type StageNeeds = {
  /** Names of checks and plug-ins. */
  checks: ReadonlySet<string>
  /** Names of other attributes, `remote.country` or `header.Subject`. */
  attributes: ReadonlySet<string>
}

/** The rule set must have passed `rulesetOf` or `parseRuleset`; what these refuse throws here. */
export function compileRuleset(ruleset: Ruleset): CompiledRuleset {
  const attributes: Attribute[] = []
  const slots = new Map<string, number>()
  const slotOf = (name: string): number => {
    const known = slots.get(name)
    if (known !== undefined) return known
    const attribute = attributeNamed(name)
    if (attribute === null) throw new RangeError(`There is no attribute "${name}"`)
    slots.set(name, attributes.push(attribute) - 1)
    return attributes.length - 1
  }
  const banks: PatternBank[] = []
  const lists = listScope(ruleset.lists)
  const scopes = new Map(stages.map((stage) => [stage, stageScope(slotOf, banks, lists)]))
  const stageRules = Object.fromEntries(stages.map((stage) => [stage, [] as CompiledRule[]])) as Record<
    Stage,
    CompiledRule[]
  >
  for (const rule of ruleset.rules) {
    if (rule.mode === 'off') continue
    stageRules[rule.stage].push({
      rule,
      isShadow: rule.mode === 'shadow',
      when: compileCondition(rule.when, scopes.get(rule.stage)!),
      then: compileBranch(rule.then),
      else: rule.else === undefined ? null : compileBranch(rule.else),
      unknown: rule.unknown === undefined ? null : compileBranch(rule.unknown),
    })
  }
  const headerNames = attributes
    .filter((attribute) => attribute.name.startsWith('header.'))
    .map((attribute) => attribute.name.slice('header.'.length).toLowerCase())
  return {
    ruleset,
    hash: rulesetHash(ruleset),
    stageRules,
    attributes,
    banks,
    headerNames: new Set(headerNames),
    markHeaderNames: markHeaderNames(ruleset),
    asksAt: needsByStage(stageRules),
  }
}

/** Also of rules that are off or in shadow: they may be switched on while a message is on its way. */
function markHeaderNames({ rules }: Ruleset): string[] {
  const branches = rules.flatMap((rule) => [rule.then, rule.else, rule.unknown])
  const added = branches.flatMap((branch) => (branch?.addHeader === undefined ? [] : [branch.addHeader.name]))
  return [...new Set([markHeaderName, flagHeaderName, scoreHeaderName, ...added].map((name) => name.toLowerCase()))]
}

function needsByStage(stageRules: CompiledRuleset['stageRules']): CompiledRuleset['asksAt'] {
  const needsOf = (stage: Stage): StageNeeds => {
    const asked = stageRules[stage].flatMap(({ rule }) => attributesAskedBy(rule.when))
    const names = new Set([...asked, ...asked.flatMap(scoredCheck)])
    const checks = [...names].filter((name) => name.startsWith(checkPrefix))
    return {
      checks: new Set(checks.map((name) => name.slice(checkPrefix.length))),
      attributes: new Set([...names].filter((name) => !name.startsWith(checkPrefix))),
    }
  }
  return Object.fromEntries(stages.map((stage) => [stage, needsOf(stage)])) as Record<Stage, StageNeeds>
}

const checkPrefix = 'check.'

/** Who asks for a score asks for the result that holds it. */
function scoredCheck(attributeName: string): string[] {
  const check = scoredCheckOf(attributeName)
  return check === null ? [] : [checkPrefix + check]
}

/** Names of all attributes in a condition; of checks `check.<name>`. */
export function attributesAskedBy(condition: Condition): string[] {
  if ('all' in condition) return condition.all.flatMap(attributesAskedBy)
  if ('any' in condition) return condition.any.flatMap(attributesAskedBy)
  if ('not' in condition) return attributesAskedBy(condition.not)
  if ('country' in condition) return ['remote.country']
  if ('check' in condition) return [checkPrefix + condition.check]
  return [condition.attribute]
}

/** Banks are a stage's own, so that no pattern is run before a rule of the stage asks for it. */
function stageScope(
  slotOf: (name: string) => number,
  banks: PatternBank[],
  lists: Pick<ConditionScope, 'textSetOf' | 'prefixSetOf'>,
): ConditionScope {
  const numbers = new Map<number, number>()
  return {
    slotOf,
    ...lists,
    bankOf(slot) {
      const known = numbers.get(slot)
      const number = known ?? banks.push(new PatternBank()) - 1
      numbers.set(slot, number)
      return { number, bank: banks[number]! }
    },
  }
}

function compileBranch(branch: Branch): CompiledBranch {
  const marks = marksOf(branch)
  return {
    branch,
    weightThousandths: thousandths(branch.weight ?? 0),
    marks,
    hasEffect: Object.keys(branch).some((key) => key !== 'weight' || branch.weight !== 0),
  }
}

/** Weights add up as whole thousandths: a sum then does not depend on its order. */
export function thousandths(weight: number): number {
  return Math.round(weight * 1000)
}
