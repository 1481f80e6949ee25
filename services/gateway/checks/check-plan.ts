/**
 * Which checks run at which stage, for one rule set.
 *
 * Why  worked out once per rule set: a session that has nothing to look up learns so from one `null`.
 */
import { stages, type Stage } from '../../contracts/vocabulary.ts'
import { checkNamed } from '../../rules/check-names.ts'
import type { CompiledRuleset } from '../../rules/compile-ruleset.ts'
import { unknown, type Check } from './check.ts'

export type StagePlan = {
  checks: readonly Check[]
  wantsCountry: boolean
  /** Asked for later and worth beginning at once; at `connect` only. */
  ahead: readonly Check[]
}
/** `null`: nothing is to be looked up. */
export type CheckPlan = Readonly<Record<Stage, StagePlan | null>> & {
  /** Whether recipients that policy refuses are to be told to the traps. */
  watchesTraps: boolean
}

/** `missing` is told of each check that a rule asks for and the configuration does not know. */
export function checkPlan(
  rules: CompiledRuleset,
  checks: ReadonlyMap<string, Check>,
  missing: (name: string) => void,
): CheckPlan {
  const asked = new Map(stages.map((stage) => [stage, new Set<Check>()]))
  for (const stage of stages) {
    for (const name of namesAskedAt(rules, stage)) {
      if (name.startsWith('plugin-')) continue
      const check = checks.get(name) ?? missingCheck(name, missing)
      const isLate = stages.indexOf(stage) > stages.indexOf('rcpt')
      // Of recipients there are answers only while they are named.
      asked.get(check.per === 'recipient' && isLate ? 'rcpt' : stage)!.add(check)
      if (check.countsAt !== undefined) asked.get(check.countsAt)!.add(check)
    }
  }
  const atConnect = asked.get('connect')!
  const later = new Set(stages.slice(1).flatMap((stage) => [...asked.get(stage)!]))
  const ahead = [...later].filter(
    (check) => check.isRemote && check.per === 'session' && check.from === 'connect' && !atConnect.has(check),
  )
  const plan = stages.map((stage): [Stage, StagePlan | null] => {
    const wantsCountry = rules.asksAt[stage].attributes.has('remote.country')
    const own = { checks: [...asked.get(stage)!], wantsCountry, ahead: stage === 'connect' ? ahead : [] }
    return [stage, own.checks.length > 0 || wantsCountry || own.ahead.length > 0 ? own : null]
  })
  const watchesTraps = [...asked.values()].some((set) => [...set].some(({ name }) => name === 'trap'))
  return { ...(Object.fromEntries(plan) as Record<Stage, StagePlan | null>), watchesTraps }
}

function namesAskedAt({ asksAt }: CompiledRuleset, stage: Stage): Set<string> {
  const { checks, attributes } = asksAt[stage]
  const names = new Set(checks)
  if (attributes.has('remote.reverseName') || attributes.has('remote.forwardConfirmed')) names.add('reverse-dns')
  return names
}

function missingCheck(name: string, missing: (name: string) => void): Check {
  missing(name)
  return {
    name,
    from: checkNamed(name)?.from ?? 'connect',
    per: 'transaction',
    isRemote: false,
    find: () => unknown('the configuration has no check of this name'),
  }
}
