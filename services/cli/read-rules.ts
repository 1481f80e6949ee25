/** The rule set of a file that somebody named, with its lists, or its faults as their mistake. */
import { readListTexts } from '../gateway/policy/load-rules.ts'
import { parseRuleset, type RulesetFault } from '../rules/parse-ruleset.ts'
import type { Ruleset } from '../rules/ruleset.ts'
import { UsageError } from './outcome.ts'
import { readInput } from './read-input.ts'

export async function readRules(file: string): Promise<Ruleset> {
  const text = readInput(file)
  const result = parseRuleset(text, file, await readListTexts(file, text))
  if ('ruleset' in result) return result.ruleset
  throw new UsageError(result.faults.map(faultLine))
}

function faultLine({ file, line, column, path, message, remedy }: RulesetFault): string {
  const field = path === '' ? '' : `${path}: `
  return `${file}:${line}:${column}: ${field}${message}.${remedy === undefined ? '' : ` ${remedy}`}`.replace(
    /\.\.$/,
    '.',
  )
}
