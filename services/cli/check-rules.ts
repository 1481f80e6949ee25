/** `tollgate rules check FILE`. */
import { readRules } from './read-rules.ts'

export async function checkRules(file: string): Promise<void> {
  const count = (await readRules(file)).rules.length
  process.stdout.write(`${file}: ${count} ${count === 1 ? 'rule' : 'rules'}, no mistake\n`)
}
