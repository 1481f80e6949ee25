/** A rule set as somebody wrote it, read for the API: what it is, or every fault of it as `bad-rules`. */
import { parseRuleset, type RulesetFault } from '../../rules/parse-ruleset.ts'
import type { Ruleset } from '../../rules/ruleset.ts'
import { ApiFault } from '../api-fault.ts'

export function parsedRules(text: string): Ruleset {
  const parsed = parseRuleset(text, 'rules')
  if ('ruleset' in parsed) return parsed.ruleset
  const faults = placesOf(parsed.faults)
  const { line, column, message } = faults[0]!
  const rest = faults.length === 1 ? '' : ` (and ${faults.length - 1} more)`
  throw new ApiFault('bad-rules', `Line ${line}, column ${column}: ${message}${rest}`, { faults })
}

export function placesOf(faults: readonly RulesetFault[]): Omit<RulesetFault, 'file'>[] {
  return faults.map(({ file: _file, ...place }) => place)
}

/** What Postgres cannot store as JSON, wherever in the rule set it stands. */
export function refuseUnstorable(value: unknown): void {
  if (typeof value === 'string' && /[\0\p{Surrogate}]/u.test(value))
    throw new ApiFault('bad-rules', `A text of the rules holds a character that is none: ${JSON.stringify(value.slice(0, 60))}`, {
      faults: [],
    })
  if (typeof value === 'object' && value !== null)
    for (const [name, member] of Object.entries(value)) {
      refuseUnstorable(name)
      refuseUnstorable(member)
    }
}
