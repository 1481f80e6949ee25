/** `tollgate rules check FILE`. */
import { parseRuleset } from '../rules/parse-ruleset.ts'
import { UsageError } from './outcome.ts'
import { readInput } from './read-input.ts'

export function checkRules(file: string): void {
  const result = parseRuleset(readInput(file), file)
  if ('ruleset' in result) {
    const count = result.ruleset.rules.length
    process.stdout.write(`${file}: ${count} ${count === 1 ? 'rule' : 'rules'}, no mistake\n`)
    return
  }
  const lines = result.faults.map(({ line, column, path, message, remedy }) => {
    return `${file}:${line}:${column}: ${path === '' ? '' : `${path}: `}${message}.${remedy === undefined ? '' : ` ${remedy}`}`.replace(/\.\.$/, '.')
  })
  throw new UsageError(lines)
}
