/**
 * What can be told of a regular expression by its shape: texts that every match must contain, and whether it may
 * share one automaton with many others.
 *
 * Owns    a reader of the common part of RE2's syntax.
 * Leaves  syntax errors to text-pattern.ts: only patterns that RE2 takes come here.
 * Why     it is an optimisation alone, so it must never be wrong: what it does not know for sure is `null`, and
 *         the pattern is then simply run. A property test holds the answers with and without it equal.
 */

export type PatternShape = {
  /** Every text that matches contains one of these; `null`: nothing is known. Case is as in the pattern. */
  requiredLiterals: readonly string[] | null
  /**
   * Has no long gap (`.*`, `[^x]+`, `.{0,20}`). Patterns with gaps each remember where they stand while the text goes
   * on, and the states of an automaton of many of them multiply.
   */
  hasGap: boolean
}

type Node =
  | { kind: 'literal'; text: string }
  | { kind: 'class'; isWide: boolean }
  | { kind: 'empty' }
  | { kind: 'sequence'; members: Node[] }
  | { kind: 'choice'; members: Node[] }
  | { kind: 'repeat'; member: Node; least: number; most: number }

/** A gap of at most this many characters multiplies little. */
const shortGap = 3
const maxLiterals = 32

export function patternShape(pattern: string): PatternShape | null {
  const reader = new PatternReader(pattern)
  const node = reader.readWhole()
  if (node === null) return null
  return { requiredLiterals: requiredOf(node), hasGap: hasGap(node) }
}

/** One of these stands in every match of the node; of several such sets the one with the longest shortest text. */
function requiredOf(node: Node): string[] | null {
  switch (node.kind) {
    case 'literal':
      return [node.text]
    case 'class':
    case 'empty':
      return null
    case 'repeat':
      return node.least === 0 ? null : requiredOf(node.member)
    case 'choice': {
      const all: string[] = []
      for (const member of node.members) {
        const required = requiredOf(member)
        if (required === null) return null
        all.push(...required)
      }
      return all.length > maxLiterals ? null : all
    }
    case 'sequence': {
      let best: string[] | null = null
      for (const member of node.members) {
        const required = requiredOf(member)
        if (required !== null && (best === null || shortest(required) > shortest(best))) best = required
      }
      return best
    }
  }
}

function shortest(texts: readonly string[]): number {
  return Math.min(...texts.map((text) => text.length))
}

function hasGap(node: Node): boolean {
  switch (node.kind) {
    case 'repeat':
      return (node.most > shortGap && isWide(node.member)) || hasGap(node.member)
    case 'sequence':
    case 'choice':
      return node.members.some(hasGap)
    default:
      return false
  }
}

function isWide(node: Node): boolean {
  switch (node.kind) {
    case 'class':
      return node.isWide
    case 'repeat':
      return isWide(node.member)
    case 'sequence':
    case 'choice':
      return node.members.some(isWide)
    default:
      return false
  }
}

/** Recursive descent; every method answers `null` where it meets what it does not know. */
class PatternReader {
  readonly #pattern: string
  #at = 0

  constructor(pattern: string) {
    this.#pattern = pattern
  }

  readWhole(): Node | null {
    const node = this.#readChoice(0)
    return this.#at === this.#pattern.length ? node : null
  }

  #readChoice(depth: number): Node | null {
    if (depth > 50) return null
    const members: Node[] = []
    for (;;) {
      const member = this.#readSequence(depth)
      if (member === null) return null
      members.push(member)
      if (this.#pattern[this.#at] !== '|') break
      this.#at += 1
    }
    return members.length === 1 ? members[0]! : { kind: 'choice', members }
  }

  #readSequence(depth: number): Node | null {
    const members: Node[] = []
    while (this.#at < this.#pattern.length && this.#pattern[this.#at] !== '|' && this.#pattern[this.#at] !== ')') {
      const atom = this.#readAtom(depth)
      if (atom === null) return null
      const repeated = this.#readRepeats(atom)
      if (repeated === null) return null
      const last = members.at(-1)
      if (repeated.kind === 'literal' && last?.kind === 'literal') last.text += repeated.text
      else members.push(repeated)
    }
    return { kind: 'sequence', members }
  }

  #readAtom(depth: number): Node | null {
    const character = this.#pattern[this.#at]!
    switch (character) {
      case '(':
        return this.#readGroup(depth)
      case '[':
        return this.#readClass()
      case '\\':
        return this.#readEscape()
      case '.':
        this.#at += 1
        return { kind: 'class', isWide: true }
      case '^':
      case '$':
        this.#at += 1
        return { kind: 'empty' }
      case '*':
      case '+':
      case '?':
        return null
      default: {
        const text = String.fromCodePoint(this.#pattern.codePointAt(this.#at)!)
        this.#at += text.length
        return { kind: 'literal', text }
      }
    }
  }

  /** Flags inside a pattern could change what a literal means: unknown. */
  #readGroup(depth: number): Node | null {
    this.#at += 1
    if (this.#pattern.startsWith('?:', this.#at)) this.#at += 2
    else if (this.#pattern[this.#at] === '?') return null
    const node = this.#readChoice(depth + 1)
    if (node === null || this.#pattern[this.#at] !== ')') return null
    this.#at += 1
    return node
  }

  #readClass(): Node | null {
    const match = /\[(\^?)(\]?(?:[^\\[\]]|\\.)*)\]/y
    match.lastIndex = this.#at
    const found = match.exec(this.#pattern)
    // A bracket inside may be a named class like [:alpha:]: unknown.
    if (found === null) return null
    this.#at += found[0].length
    return { kind: 'class', isWide: found[1] === '^' || /\\[DSWpP]/.test(found[2]!) }
  }

  #readEscape(): Node | null {
    const next = this.#pattern[this.#at + 1]
    if (next === undefined) return null
    this.#at += 2
    if ('bBAz'.includes(next)) return { kind: 'empty' }
    if ('dsw'.includes(next)) return { kind: 'class', isWide: false }
    if ('DSW'.includes(next)) return { kind: 'class', isWide: true }
    return /[A-Za-z0-9]/.test(next) || next > '~' ? null : { kind: 'literal', text: next }
  }

  /** Also a laziness mark behind a repetition, which changes no answer to whether there is a match. */
  #readRepeats(atom: Node): Node | null {
    const repeat = /(?:([*+?])|\{(\d+)(,?)(\d*)\})(\??)/y
    repeat.lastIndex = this.#at
    const found = repeat.exec(this.#pattern)
    if (found === null) return atom
    this.#at += found[0].length
    repeat.lastIndex = this.#at
    if (repeat.test(this.#pattern)) return null
    const [, mark, least, comma, most] = found
    if (mark === '*') return { kind: 'repeat', member: atom, least: 0, most: Infinity }
    if (mark === '+') return { kind: 'repeat', member: atom, least: 1, most: Infinity }
    if (mark === '?') return { kind: 'repeat', member: atom, least: 0, most: 1 }
    const atMost = comma === '' ? Number(least) : most === '' ? Infinity : Number(most)
    return { kind: 'repeat', member: atom, least: Number(least), most: atMost }
  }
}
