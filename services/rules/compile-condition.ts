/**
 * A condition made ready to run: patterns compiled, lists hashed, networks arranged by prefix, attributes numbered.
 *
 * Why three truths  a check that did not answer must not block mail by itself, and a replay must not guess what the
 *                   log does not hold. Such a condition is unknown (`null`), and all, any and not carry that along
 *                   as in Kleene's logic: `any` with one true member is true whatever the unknown one would be.
 */
import type { AttributeValue } from './attributes.ts'
import { IpPrefixSet, parseIpPrefix, type IpAddress, type IpPrefix } from './ip-prefix-set.ts'
import type { Condition, Ruleset } from './ruleset.ts'
import type { PatternBank } from './pattern-bank.ts'

export type Truth = boolean | null

/** What a running condition reads, and where it leaves which text made it true. */
export interface ConditionContext {
  valueOf(slot: number): AttributeValue
  /** In a replay: nobody looked it up, or logged it. */
  isUnlogged(slot: number): boolean
  /** The values of a slot as texts in lower case, and as addresses: made once for all rules that ask. */
  lowerTextsOf(slot: number): readonly string[]
  addressesOf(slot: number): readonly (IpAddress | null)[]
  /** Numbers of the patterns of a bank that match a value of the slot, by position for several values. */
  patternHits(bank: number, slot: number): PatternHits
  /** Attribute of the first part that made it true, and what matched; `null` for a negation. */
  matchedSlot: number | null
  matchedText: string | null
}

/** What a bank found: per value of the attribute the numbers of its patterns. */
export type PatternHits = readonly (readonly number[])[]

export type CompiledCondition = (context: ConditionContext) => Truth

/** Gives attribute names their numbers, and shares what several rules use. */
export interface ConditionScope {
  slotOf(attribute: string): number
  /** The bank that holds the patterns of a slot, with its number. */
  bankOf(slot: number): { number: number; bank: PatternBank }
  textSetOf(list: string | readonly string[], caseSensitive: boolean): ReadonlySet<string>
  prefixSetOf(networks: string | readonly string[]): IpPrefixSet
}

export function compileCondition(condition: Condition, scope: ConditionScope): CompiledCondition {
  if ('all' in condition) return compileAll(condition.all.map((member) => compileCondition(member, scope)))
  if ('any' in condition) return compileAny(condition.any.map((member) => compileCondition(member, scope)))
  if ('not' in condition) return compileNot(compileCondition(condition.not, scope))
  if ('country' in condition) {
    const codes = scope.textSetOf(condition.country, false)
    return compileIn(scope.slotOf('remote.country'), codes, false)
  }
  if ('check' in condition) {
    const results = new Set(typeof condition.is === 'string' ? [condition.is] : condition.is)
    return compileCheck(scope.slotOf(`check.${condition.check}`), results)
  }
  const slot = scope.slotOf(condition.attribute)
  const compiled = compileTest(condition, slot, scope)
  return condition.attribute.startsWith('check.') ? answered(slot, compiled) : compiled
}

function compileTest(
  condition: Extract<Condition, { attribute: string }>,
  slot: number,
  scope: ConditionScope,
): CompiledCondition {
  if ('matches' in condition) return compileMatches(slot, condition.matches, condition.caseSensitive ?? false, scope)
  if ('equals' in condition) return compileEquals(slot, condition.equals, condition.caseSensitive ?? false)
  if ('in' in condition)
    return compileIn(
      slot,
      scope.textSetOf(condition.in, condition.caseSensitive ?? false),
      condition.caseSensitive ?? false,
    )
  if ('cidr' in condition) return compileCidr(slot, scope.prefixSetOf(condition.cidr))
  if ('above' in condition) return compileLeaf(slot, (value) => Number(value) > condition.above)
  if ('below' in condition) return compileLeaf(slot, (value) => Number(value) < condition.below)
  if ('between' in condition) {
    const [least, most] = condition.between
    return compileLeaf(slot, (value) => Number(value) >= least && Number(value) <= most)
  }
  return compileExists(slot, condition.exists)
}

/** Compiled sets of one rule set: a list that ten rules name is hashed once. */
export function listScope(lists: Ruleset['lists']): Pick<ConditionScope, 'textSetOf' | 'prefixSetOf'> {
  const textSets = new Map<string, ReadonlySet<string>>()
  const prefixSets = new Map<string, IpPrefixSet>()
  return {
    textSetOf(list, caseSensitive) {
      if (typeof list !== 'string') return textSet(list, caseSensitive)
      const entries = Object.hasOwn(lists, list) ? lists[list] : undefined
      // A single country stands where others have the name of a list.
      if (entries === undefined) return textSet([list], caseSensitive)
      return cached(textSets, `${caseSensitive} ${list}`, () => textSet(entries, caseSensitive))
    },
    prefixSetOf(networks) {
      if (typeof networks !== 'string') return prefixSet(networks)
      const entries = Object.hasOwn(lists, networks) ? lists[networks] : undefined
      return entries === undefined ? prefixSet([networks]) : cached(prefixSets, networks, () => prefixSet(entries))
    },
  }
}

function compileAll(members: readonly CompiledCondition[]): CompiledCondition {
  return (context) => {
    let result: Truth = true
    for (const member of members) {
      const truth = member(context)
      if (truth === false) return false
      if (truth === null) result = null
    }
    return result
  }
}

function compileAny(members: readonly CompiledCondition[]): CompiledCondition {
  return (context) => {
    const slotBefore = context.matchedSlot
    const textBefore = context.matchedText
    let result: Truth = false
    for (const member of members) {
      const truth = member(context)
      if (truth === true) return true
      if (truth === null) result = null
      context.matchedSlot = slotBefore
      context.matchedText = textBefore
    }
    return result
  }
}

function compileNot(member: CompiledCondition): CompiledCondition {
  return (context) => {
    const slotBefore = context.matchedSlot
    const textBefore = context.matchedText
    const truth = member(context)
    context.matchedSlot = slotBefore
    context.matchedText = textBefore
    return truth === null ? null : !truth
  }
}

/** True where any of the values is; the first such value is what matched. */
function compileLeaf(slot: number, isMatch: (value: string | number | boolean) => boolean): CompiledCondition {
  return (context) => {
    const value = context.valueOf(slot)
    if (value === undefined) return null
    if (value === null) return false
    if (typeof value !== 'object') return isMatch(value) ? matched(context, slot, String(value)) : false
    for (const one of value) if (isMatch(one)) return matched(context, slot, String(one))
    return false
  }
}

function compileMatches(
  slot: number,
  pattern: string,
  caseSensitive: boolean,
  scope: ConditionScope,
): CompiledCondition {
  const { number, bank } = scope.bankOf(slot)
  const id = bank.add(pattern, caseSensitive)
  return (context) => {
    const value = context.valueOf(slot)
    if (value === undefined) return null
    if (value === null) return false
    const hits = context.patternHits(number, slot)
    for (let index = 0; index < hits.length; index += 1) {
      if (!hits[index]!.includes(id)) continue
      const text = typeof value === 'string' ? value : (value as readonly string[])[index]!
      return matched(context, slot, bank.matchedText(id, text))
    }
    return false
  }
}

function compileEquals(slot: number, wanted: string | number | boolean, caseSensitive: boolean): CompiledCondition {
  if (typeof wanted !== 'string' || caseSensitive) return compileLeaf(slot, (value) => value === wanted)
  const lower = wanted.toLowerCase()
  return compilePrepared(
    slot,
    (context) => context.lowerTextsOf(slot),
    (text) => text === lower,
  )
}

function compileIn(slot: number, texts: ReadonlySet<string>, caseSensitive: boolean): CompiledCondition {
  if (caseSensitive) return compileLeaf(slot, (value) => texts.has(String(value)))
  return compilePrepared(
    slot,
    (context) => context.lowerTextsOf(slot),
    (text) => texts.has(text),
  )
}

function compileCidr(slot: number, prefixes: IpPrefixSet): CompiledCondition {
  return compilePrepared(
    slot,
    (context) => context.addressesOf(slot),
    (address) => address !== null && prefixes.has(address),
  )
}

/** As compileLeaf, on a form of the values that stands in their order. */
function compilePrepared<Form>(
  slot: number,
  formsOf: (context: ConditionContext) => readonly Form[],
  isMatch: (form: Form) => boolean,
): CompiledCondition {
  return (context) => {
    const value = context.valueOf(slot)
    if (value === undefined) return null
    if (value === null) return false
    const forms = formsOf(context)
    for (let index = 0; index < forms.length; index += 1) {
      if (isMatch(forms[index]!))
        return matched(context, slot, String(typeof value === 'object' ? value[index] : value))
    }
    return false
  }
}

function compileExists(slot: number, wanted: boolean): CompiledCondition {
  return (context) => {
    const value = context.valueOf(slot)
    if (value === undefined) return null
    const exists = value !== null && (typeof value !== 'object' || value.length > 0)
    return exists === wanted && matched(context, slot, null)
  }
}

/** Asking for `unknown` is the one question that a check without an answer answers. */
function compileCheck(slot: number, results: ReadonlySet<string>): CompiledCondition {
  return (context) => {
    const value = context.valueOf(slot) ?? noAnswer
    // A check that never ran then might have answered: that is not the answer `unknown`.
    if (value === noAnswer && context.isUnlogged(slot)) return null
    if (typeof value !== 'object') {
      if (results.has(value as string)) return matched(context, slot, value as string)
      return value === noAnswer ? null : false
    }
    let truth: Truth = false
    for (const result of value as readonly string[]) {
      if (results.has(result)) return matched(context, slot, result)
      if (result === noAnswer) truth = null
    }
    return truth
  }
}

const noAnswer = 'unknown'

/** What is asked of the text of a result: `unknown` is no text of an answer. */
function answered(slot: number, condition: CompiledCondition): CompiledCondition {
  return (context) => {
    const value = context.valueOf(slot)
    const isUnknown = typeof value === 'object' ? value?.some((one) => one === noAnswer) : value === noAnswer
    return isUnknown ? null : condition(context)
  }
}

function matched(context: ConditionContext, slot: number, text: string | null): true {
  if (context.matchedSlot === null) {
    context.matchedSlot = slot
    context.matchedText = text
  }
  return true
}

function textSet(entries: readonly string[], caseSensitive: boolean): ReadonlySet<string> {
  return new Set(caseSensitive ? entries : entries.map((entry) => entry.toLowerCase()))
}

function prefixSet(entries: readonly string[]): IpPrefixSet {
  return new IpPrefixSet(
    entries.map((entry) => parseIpPrefix(entry)).filter((prefix): prefix is IpPrefix => prefix !== null),
  )
}

function cached<Value>(values: Map<string, Value>, key: string, create: () => Value): Value {
  const known = values.get(key)
  if (known !== undefined) return known
  const created = create()
  values.set(key, created)
  return created
}
