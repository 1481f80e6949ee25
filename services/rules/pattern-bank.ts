/**
 * All patterns that the rules of one stage hold against one attribute, matched in one pass over the text.
 *
 * Why     one automaton of a hundred patterns reads a text once, where a hundred patterns read it a hundred times.
 *         A pattern with a gap stays outside, since the states of the automaton would multiply: in its place the
 *         automaton holds the texts that it cannot match without, and it is run where one of them was found.
 * Limits  texts of more than `sharedTextLength` characters are matched one pattern at a time: made to hurt, a text
 *         can make the automaton build a new state for each of its characters.
 */
import { RE2JS, RE2Set } from 're2js'
import { patternShape } from './pattern-shape.ts'
import { compilePattern, textPatternOf, type PatternSyntax } from './text-pattern.ts'

const sharedTextLength = 512
/** Instructions of one pattern, and of all in one automaton. */
const sharedPatternSize = 400
const automatonSize = 4_000
const automatonBytes = 4 * 1024 * 1024
/** Below this many patterns one pass costs more than it saves. */
const fewestShared = 2

type Entry = {
  pattern: RE2JS
  /** What the automaton holds for it, or `null`: it is always run by itself. */
  shared: string | null
  /** Whether a hit in the automaton is the answer, or only makes it worth running. */
  isExact: boolean
}

export class PatternBank {
  readonly #entries: Entry[] = []
  readonly #idOf = new Map<string, number>()
  #automata: Automaton[] | null = null
  #alone: number[] = []

  /** The number of a pattern in this bank; equal patterns share one. */
  add(pattern: string, caseSensitive: boolean): number {
    const key = `${caseSensitive} ${pattern}`
    const known = this.#idOf.get(key)
    if (known !== undefined) return known
    const id = this.#entries.push(entryOf(pattern, caseSensitive)) - 1
    this.#idOf.set(key, id)
    this.#automata = null
    return id
  }

  /** Numbers of the patterns that match somewhere in the text; order without meaning. */
  matches(text: string): readonly number[] {
    if (text.length > sharedTextLength) return this.matchesOneByOne(text)
    this.#automata ??= this.#arrange()
    let found: number[] = noMatches
    const add = (id: number): void => {
      if (found === noMatches) found = [id]
      else found.push(id)
    }
    for (const { set, ids } of this.#automata) {
      for (const position of set.match(text)) {
        const id = ids[position]!
        const entry = this.#entries[id]!
        if (entry.isExact || entry.pattern.test(text)) add(id)
      }
    }
    for (const id of this.#alone) if (this.#entries[id]!.pattern.test(text)) add(id)
    return found
  }

  /** The same without any shortcut. */
  matchesOneByOne(text: string): readonly number[] {
    const found: number[] = []
    for (const [id, entry] of this.#entries.entries()) if (entry.pattern.test(text)) found.push(id)
    return found
  }

  /** The text that a pattern matched first; it must match. */
  matchedText(id: number, text: string): string {
    return this.#entries[id]!.pattern.exec(text)?.[0] ?? ''
  }

  #arrange(): Automaton[] {
    const sharedIds = this.#entries.flatMap((entry, id) => (entry.shared === null ? [] : [id]))
    const isShared = sharedIds.length >= fewestShared
    this.#alone = this.#entries.flatMap((entry, id) => (isShared && entry.shared !== null ? [] : [id]))
    const automata: Automaton[] = []
    let room = 0
    for (const id of isShared ? sharedIds : []) {
      const { shared, pattern } = this.#entries[id]!
      room -= pattern.programSize()
      if (automata.length === 0 || room < 0) {
        automata.push({ set: new RE2Set(RE2Set.UNANCHORED, 0, automatonBytes), ids: [] })
        room = automatonSize - pattern.programSize()
      }
      const automaton = automata.at(-1)!
      automaton.set.add(shared!)
      automaton.ids.push(id)
    }
    for (const { set } of automata) set.compile()
    return automata
  }
}

type Automaton = { set: RE2Set; ids: number[] }

const noMatches: number[] = []

function entryOf(text: string, isCaseSensitive: boolean): Entry {
  const syntax: PatternSyntax = { text, isCaseSensitive }
  const pattern = compilePattern(text, isCaseSensitive)
  const shape = patternShape(text)
  if (shape === null || pattern.programSize() > sharedPatternSize) return { pattern, shared: null, isExact: false }
  if (!shape.hasGap) return { pattern, shared: textPatternOf(syntax), isExact: true }
  if (shape.requiredLiterals === null) return { pattern, shared: null, isExact: false }
  const literals = shape.requiredLiterals.map((literal) => RE2JS.quote(literal)).join('|')
  return { pattern, shared: textPatternOf({ text: literals, isCaseSensitive }), isExact: false }
}
