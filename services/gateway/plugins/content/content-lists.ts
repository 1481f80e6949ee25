/**
 * Lists of what must not leave: words, patterns, names and digests of files.
 *
 * Limits  a match of a pattern in text has at most `overlap` characters; text is matched window by window, so that
 *         the event loop gets its turn. Patterns are of linear time, as in rules.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Static } from 'typebox'
import type { ContentSettings } from '../../../kit/plugin-settings.ts'
import { PatternBank } from '../../../rules/pattern-bank.ts'
import { patternFault } from '../../../rules/text-pattern.ts'
import { oneBlank } from './plain-text.ts'
import type { MessageContent } from './read-content.ts'

type ListSettings = Static<typeof ContentSettings>['lists'][number]

/** `what`: the word, file or text that was found, for the log. */
export type ContentHit = { list: string; what: string }

const windowLength = 8_192
const overlap = 512
const whatLength = 60

export class ContentLists {
  readonly #lists: readonly List[]

  /** Throws with a sentence that names list and pattern. */
  constructor(settings: readonly ListSettings[]) {
    this.#lists = settings.map((list) => new List(list))
  }

  /** At most one hit for each list, in the order of the lists. */
  async hits({ texts, files }: MessageContent, signal: AbortSignal): Promise<ContentHit[]> {
    const found = new Map<string, string>()
    for (const list of this.#lists) {
      const what = list.fileHit(files)
      if (what !== null) found.set(list.name, what)
    }
    for (const text of texts) {
      for (let at = 0; at < text.length; at += windowLength) {
        const window = text.slice(Math.max(0, at - overlap), at + windowLength)
        // One more than the text has on either side: its ends are ends of words.
        const before = at > overlap ? text[at - overlap - 1]! : ' '
        const after = text[at + windowLength] ?? ' '
        for (const list of this.#lists) {
          if (found.has(list.name)) continue
          const what = list.textHit(window, before, after)
          if (what !== null) found.set(list.name, what)
        }
        await nextTurn()
        signal.throwIfAborted()
      }
    }
    return this.#lists.flatMap(({ name }) => (found.has(name) ? [{ list: name, what: found.get(name)!.slice(0, whatLength) }] : []))
  }
}

class List {
  readonly name: string
  readonly #words: string[]
  readonly #patterns: PatternBank
  readonly #fileNames: PatternBank
  readonly #digests: Set<string>

  constructor({ name, words, patterns, fileNames, sha256 }: ListSettings) {
    this.name = name
    this.#words = words.map((word) => oneBlank(word).trim().toLowerCase())
    this.#patterns = bankOf(name, 'patterns', patterns)
    this.#fileNames = bankOf(name, 'fileNames', fileNames)
    this.#digests = new Set(sha256.map((digest) => digest.toLowerCase()))
  }

  textHit(text: string, before: string, after: string): string | null {
    const lower = text.toLowerCase()
    const word = this.#words.find((candidate) => hasWord(lower, candidate, before, after))
    if (word !== undefined) return `"${word}"`
    const [pattern] = this.#patterns.matchesOneByOne(text)
    return pattern === undefined ? null : `"${this.#patterns.matchedText(pattern, text)}"`
  }

  fileHit(files: MessageContent['files']): string | null {
    const hit = files.find(({ name, sha256 }) => this.#digests.has(sha256) || (name !== null && this.#fileNames.matchesOneByOne(name).length > 0))
    return hit === undefined ? null : `file ${hit.name ?? hit.sha256}`
  }
}

function bankOf(list: string, field: string, patterns: readonly string[]): PatternBank {
  const bank = new PatternBank()
  for (const pattern of patterns) {
    const fault = patternFault(pattern)
    if (fault !== null) throw new Error(`plugins.content: list ${list}: ${field}: "${pattern}": ${fault.message}${fault.remedy === undefined ? '' : ` (${fault.remedy})`}`)
    bank.add(pattern, false)
  }
  return bank
}

const letter = /[\p{L}\p{N}]/u

/** Whole words: `plan` is not in `plane`. */
function hasWord(text: string, word: string, before: string, after: string): boolean {
  for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) {
    const end = at + word.length
    if (!letter.test(at === 0 ? before : text[at - 1]!) && !letter.test(end === text.length ? after : text[end]!)) return true
  }
  return false
}
