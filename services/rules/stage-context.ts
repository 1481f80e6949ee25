/**
 * What the conditions of one stage read: each attribute is taken from the transaction at most once, when first asked.
 */
import { maxMatchedTextBytes } from '../contracts/event.ts'
import type { Attributes, AttributeValue } from './attributes.ts'
import type { ConditionContext, PatternHits } from './compile-condition.ts'
import type { CompiledRuleset } from './compile-ruleset.ts'
import { parseIpAddress, type IpAddress } from './ip-prefix-set.ts'

export class StageContext implements ConditionContext {
  matchedSlot: number | null = null
  matchedText: string | null = null
  /** The last attribute that was asked for and that the log does not tell. */
  unloggedName: string | null = null
  readonly #compiled: CompiledRuleset
  readonly #attributes: Attributes
  readonly #values: AttributeValue[] = []
  readonly #hits: (PatternHits | undefined)[] = []
  readonly #lowerTexts: (readonly string[] | undefined)[] = []
  readonly #addresses: (readonly (IpAddress | null)[] | undefined)[] = []

  constructor(compiled: CompiledRuleset, attributes: Attributes) {
    this.#compiled = compiled
    this.#attributes = attributes
  }

  valueOf(slot: number): AttributeValue {
    const known = this.#values[slot]
    if (known !== undefined) return known
    const { name, read } = this.#compiled.attributes[slot]!
    const value = read(this.#attributes)
    if (value == null && this.#attributes.unlogged?.has(name)) {
      this.unloggedName = name
      return undefined
    }
    this.#values[slot] = value
    return value
  }

  isUnlogged(slot: number): boolean {
    return this.#attributes.unlogged?.has(this.#compiled.attributes[slot]!.name) ?? false
  }

  lowerTextsOf(slot: number): readonly string[] {
    return (this.#lowerTexts[slot] ??= textsOf(this.valueOf(slot)).map((text) => text.toLowerCase()))
  }

  /** Also of address literals, as in HELO: `[192.0.2.1]`, `[IPv6:2001:db8::1]`. */
  addressesOf(slot: number): readonly (IpAddress | null)[] {
    return (this.#addresses[slot] ??= textsOf(this.valueOf(slot)).map((text) =>
      parseIpAddress(withoutBrackets(text)),
    ))
  }

  patternHits(bank: number, slot: number): PatternHits {
    const known = this.#hits[bank]
    if (known !== undefined) return known
    const hits = textsOf(this.valueOf(slot)).map((text) => this.#compiled.banks[bank]!.matches(text))
    this.#hits[bank] = hits
    return hits
  }

  get matchedAttribute(): string | null {
    return this.matchedSlot === null ? null : this.#compiled.attributes[this.matchedSlot]!.name
  }

  get cutMatchedText(): string | null {
    return this.matchedText === null ? null : cutToBytes(this.matchedText, maxMatchedTextBytes)
  }
}

function textsOf(value: AttributeValue): readonly string[] {
  if (value == null) return []
  return typeof value === 'object' ? value.map(String) : [String(value)]
}

function withoutBrackets(text: string): string {
  return text.startsWith('[') && text.endsWith(']') ? text.slice(/^\[ipv6:/i.test(text) ? 6 : 1, -1) : text
}

/** The longest beginning of a text with at most so many octets in UTF-8, never half a character. */
export function cutToBytes(text: string, maxBytes: number): string {
  if (text.length * 3 <= maxBytes) return text
  let bytes = 0
  let end = 0
  for (const character of text) {
    const code = character.codePointAt(0)!
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4
    if (bytes > maxBytes) return text.slice(0, end)
    end += character.length
  }
  return text
}
