/** The rule set of the configuration: read, checked and compiled. */
import { readFile } from 'node:fs/promises'
import { compileRuleset, type CompiledRuleset } from '../../rules/compile-ruleset.ts'
import { parseRuleset, type RulesetFault } from '../../rules/parse-ruleset.ts'

/** Without a file: no rule hits anything. */
export function noRules(): CompiledRuleset {
  return compileRuleset({ markAt: null, rejectAt: null, lists: {}, rules: [] })
}

/** Throws with a sentence that names every fault and its place. */
export async function loadRules(file: string): Promise<CompiledRuleset> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    throw new Error(`the rule set ${file} cannot be read: check the setting "rules" and the rights of the file`, {
      cause: error,
    })
  }
  const parsed = parseRuleset(text, file)
  if ('faults' in parsed) throw new Error(`the rule set has faults: ${parsed.faults.map(faultText).join('; ')}`)
  return compileRuleset(parsed.ruleset)
}

function faultText({ file, line, column, path, message, remedy }: RulesetFault): string {
  const field = path === '' ? '' : `${path}: `
  return `${file}:${line}:${column}: ${field}${message}${remedy === undefined ? '' : ` (${remedy})`}`
}
