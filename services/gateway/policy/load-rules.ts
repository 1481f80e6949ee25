/**
 * The rule set of the configuration: its file and those of its lists, read, checked and compiled.
 *
 * Owns    which files those are, whether one of them changed, and the last content of each list.
 * Fails   with a sentence that names every fault and its place. A list that can no longer be read keeps the content it
 *         had, and that is said; one that never could be read is a fault.
 */
import { readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import { compileRuleset, type CompiledRuleset } from '../../rules/compile-ruleset.ts'
import { listFilesOf, parseRuleset, type RulesetFault } from '../../rules/parse-ruleset.ts'

/** Without a file: no rule hits anything. */
export function noRules(): CompiledRuleset {
  return compileRuleset({ markAt: null, rejectAt: null, lists: {}, rules: [] })
}

export class RulesFile {
  readonly #file: string
  readonly #onLostList: (sentence: string) => void
  /** By path; taken before a file is read, so that a change in between shows as one the next time. */
  #stamps = new Map<string, string>()
  #listTexts = new Map<string, string>()

  /** `onLostList` is told of a list that keeps its old content. */
  constructor(file: string, onLostList: (sentence: string) => void) {
    this.#file = file
    this.#onLostList = onLostList
  }

  /** Whether the rule set or one of its lists looks other than when it was last loaded, or tried to. */
  async isChanged(): Promise<boolean> {
    for (const [file, stamp] of this.#stamps) if ((await stampOf(file)) !== stamp) return true
    return this.#stamps.size === 0
  }

  async load(): Promise<CompiledRuleset> {
    this.#stamps = new Map([[this.#file, await stampOf(this.#file)]])
    const text = await readRulesText(this.#file)
    for (const name of listFilesOf(text)) {
      const list = listPath(this.#file, name)
      this.#stamps.set(list, await stampOf(list))
    }
    const read = await readListTexts(this.#file, text)
    const lost = listFilesOf(text).filter((name) => !read.has(name) && this.#listTexts.has(name))
    for (const name of lost) read.set(name, this.#listTexts.get(name)!)
    const parsed = parseRuleset(text, this.#file, read)
    if ('faults' in parsed) throw new Error(`the rule set has faults: ${parsed.faults.map(faultText).join('; ')}`)
    this.#listTexts = read
    for (const name of lost)
      this.#onLostList(`The list ${name} of the rule set can no longer be read: its last content stays in force`)
    return compileRuleset(parsed.ruleset)
  }
}

/** What of a rule set's list files can be read, by the names that it has for them. */
export async function readListTexts(rulesFile: string, rulesText: string): Promise<Map<string, string>> {
  const texts = new Map<string, string>()
  for (const name of listFilesOf(rulesText)) {
    try {
      texts.set(name, await readFile(listPath(rulesFile, name), 'utf8'))
    } catch (error) {
      if (!(error instanceof Error && 'code' in error)) throw error
    }
  }
  return texts
}

async function readRulesText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw new Error(`the rule set ${file} cannot be read: check the setting "rules" and the rights of the file`, {
      cause: error,
    })
  }
}

function listPath(rulesFile: string, name: string): string {
  return path.resolve(path.dirname(rulesFile), name)
}

async function stampOf(file: string): Promise<string> {
  try {
    const { mtimeMs, size, ino } = await stat(file)
    return `${mtimeMs} ${size} ${ino}`
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code)
  }
}

function faultText({ file, line, column, path: place, message, remedy }: RulesetFault): string {
  const field = place === '' ? '' : `${place}: `
  return `${file}:${line}:${column}: ${field}${message}${remedy === undefined ? '' : ` (${remedy})`}`
}
