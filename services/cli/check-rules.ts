/** `tollgate rules check FILE`. */
import { readRules } from './read-rules.ts'

export function checkRules(file: string): void {
  const count = readRules(file).rules.length
  process.stdout.write(`${file}: ${count} ${count === 1 ? 'rule' : 'rules'}, no mistake\n`)
}
