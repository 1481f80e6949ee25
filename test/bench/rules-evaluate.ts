/**
 * One ordinary transaction through 200 rules of mixed kinds, half of them regular expressions, against a plain loop
 * of JavaScript RegExp over the same rules: fast, and not safe, since one pattern can make it stall.
 *
 * Why  the peer gets what is good for it: attributes are read once for all rules of a stage, sets are ready, and it
 *      keeps nothing but the ids of what hit and the sum. Both must name the same hits before anything is timed.
 */
import { stages, type Stage } from '../../services/contracts/vocabulary.ts'
import { attributeNamed, attributesOf, type AttributeValue } from '../../services/rules/attributes.ts'
import { compileRuleset, type CompiledRuleset } from '../../services/rules/compile-ruleset.ts'
import { evaluateStage, initialProgress } from '../../services/rules/evaluate-stage.ts'
import { IpPrefixSet, parseIpAddress, parseIpPrefix, type IpAddress } from '../../services/rules/ip-prefix-set.ts'
import type { Condition, Ruleset } from '../../services/rules/ruleset.ts'
import type { TransactionEnded } from '../../services/contracts/event.ts'
import { judgeLive } from '../live-transaction.ts'
import { ordinaryMail } from './ordinary-mail.ts'
import { figureOf, type Bench, type Pair, type Scale } from './bench.ts'
import { mixedRuleset } from './mixed-ruleset.ts'

const transactionCounts: Record<Scale, number> = { small: 20_000, default: 100_000, large: 500_000 }
const differentMails = 2_000
const runCount = 5

export const bench: Bench = {
  name: 'rules.evaluate',
  goal: 1,
  run: async (context) => {
    const ruleset = mixedRuleset()
    const compiled = compileRuleset(ruleset)
    const empty = compileRuleset({ ...ruleset, rules: [] })
    const events = Array.from({ length: differentMails }, (_, index) => judgeLive(ordinaryMail(index), empty))
    const plain = plainRules(ruleset)
    for (const event of events) {
      const [ours, theirs] = [evaluateOurs(event, compiled), evaluatePlainly(event, plain)]
      if (ours.join() !== theirs.join()) throw new Error(`The two disagree: ${ours.join()} and ${theirs.join()}`)
    }
    const rounds = transactionCounts[context.scale] / differentMails
    const pairs: Pair[] = []
    for (let run = 1; run <= runCount; run += 1) {
      let [ours, theirs] = [0, 0]
      // By turns in small portions: whatever else the machine does meets both.
      for (let round = 0; round < rounds; round += 1) {
        theirs += microsecondsEach(events, (event) => evaluatePlainly(event, plain)) / rounds
        ours += microsecondsEach(events, (event) => evaluateOurs(event, compiled)) / rounds
      }
      pairs.push({ ours, theirs })
      context.progress(`run ${run}: ours ${ours.toFixed(1)} us, plain loop ${theirs.toFixed(1)} us a transaction`)
    }
    return [figureOf(bench, 'us/transaction', 'loop of RegExp', pairs, false)]
  },
}

function microsecondsEach(events: readonly TransactionEnded[], judge: (event: TransactionEnded) => unknown): number {
  const startedNs = process.hrtime.bigint()
  for (const event of events) judge(event)
  return Number(process.hrtime.bigint() - startedNs) / 1_000 / events.length
}

function evaluateOurs(event: TransactionEnded, compiled: CompiledRuleset): string[] {
  const hits: string[] = []
  let progress = initialProgress()
  for (const stage of stages) {
    const recipient = stage === 'rcpt' ? 0 : null
    const result = evaluateStage(compiled, stage, attributesOf(event, stage, recipient), progress, recipient)
    progress = result.progress
    for (const hit of result.evaluation.hits) hits.push(hit.ruleId)
  }
  return hits
}

type PlainRule = { id: string; weight: number; matches: (values: Map<string, AttributeValue>) => boolean }
type PlainStage = { stage: Stage; names: readonly string[]; rules: readonly PlainRule[] }

function evaluatePlainly(event: TransactionEnded, plain: readonly PlainStage[]): string[] {
  const hits: string[] = []
  let weight = 0
  for (const { stage, names, rules } of plain) {
    const attributes = attributesOf(event, stage, stage === 'rcpt' ? 0 : null)
    const values = new Map(names.map((name) => [name, readers.get(name)!(attributes)]))
    for (const rule of rules) {
      if (!rule.matches(values)) continue
      weight += rule.weight
      hits.push(rule.id)
    }
  }
  if (!Number.isFinite(weight)) throw new Error('no sum')
  return hits
}

const readers = new Map<string, (attributes: ReturnType<typeof attributesOf>) => AttributeValue>()

function plainRules(ruleset: Ruleset): PlainStage[] {
  return stages.map((stage) => {
    const names = new Set<string>()
    const rules = ruleset.rules
      .filter((rule) => rule.stage === stage)
      .map(({ id, then, when }) => ({
        id,
        weight: then.weight ?? 0,
        matches: plainCondition(when, ruleset.lists, names),
      }))
    for (const name of names) readers.set(name, attributeNamed(name)!.read)
    return { stage, names: [...names], rules }
  })
}

function plainCondition(condition: Condition, lists: Ruleset['lists'], names: Set<string>): PlainRule['matches'] {
  if ('all' in condition) {
    const members = condition.all.map((member) => plainCondition(member, lists, names))
    return (values) => members.every((member) => member(values))
  }
  if ('any' in condition) {
    const members = condition.any.map((member) => plainCondition(member, lists, names))
    return (values) => members.some((member) => member(values))
  }
  if ('not' in condition) {
    const member = plainCondition(condition.not, lists, names)
    return (values) => !member(values)
  }
  if ('country' in condition || 'check' in condition) throw new Error('this rule set has none')
  const name = condition.attribute
  names.add(name)
  const test = plainTest(condition, lists)
  if ('exists' in condition) {
    return (values) => {
      const value = values.get(name)
      return (value != null && (typeof value !== 'object' || value.length > 0)) === condition.exists
    }
  }
  return (values) => {
    const value = values.get(name)
    if (value == null) return false
    if (typeof value !== 'object') return test(value)
    for (const one of value) if (test(one)) return true
    return false
  }
}

let lastAddress: { text: string; address: IpAddress | null } = { text: '', address: null }

/** All rules ask for the same one: it is parsed once. */
function addressOf(text: string): IpAddress | null {
  if (lastAddress.text !== text) lastAddress = { text, address: parseIpAddress(text) }
  return lastAddress.address
}

type Leaf = Exclude<
  Condition,
  { all: unknown } | { any: unknown } | { not: unknown } | { country: unknown } | { check: unknown }
>

function plainTest(condition: Leaf, lists: Ruleset['lists']): (value: string | number | boolean) => boolean {
  if ('matches' in condition) {
    const pattern = new RegExp(condition.matches, condition.caseSensitive ? 's' : 'is')
    return (value) => pattern.test(value as string)
  }
  if ('equals' in condition) {
    const wanted = typeof condition.equals === 'string' ? condition.equals.toLowerCase() : condition.equals
    return (value) => (typeof value === 'string' ? value.toLowerCase() : value) === wanted
  }
  if ('in' in condition) {
    const entries = typeof condition.in === 'string' ? lists[condition.in]! : condition.in
    const set = new Set(entries.map((entry) => entry.toLowerCase()))
    return (value) => set.has(String(value).toLowerCase())
  }
  if ('cidr' in condition) {
    const networks = new IpPrefixSet([condition.cidr].flat().map((network) => parseIpPrefix(network)!))
    return (value) => {
      const address = addressOf(value as string)
      return address !== null && networks.has(address)
    }
  }
  if ('above' in condition) return (value) => Number(value) > condition.above
  if ('below' in condition) return (value) => Number(value) < condition.below
  if ('between' in condition)
    return (value) => Number(value) >= condition.between[0] && Number(value) <= condition.between[1]
  return () => false
}
