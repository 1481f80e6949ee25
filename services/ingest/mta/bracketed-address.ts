/**
 * Addresses in angle brackets, as an MTA writes them into its log.
 *
 * Why  the remote chooses them. `<"x>, relay=y, status=sent (250)"@evil.example>` must be one address, so a bracket
 *      counts as the end only outside of quotes, and blanks and brackets only stand within them.
 */
export type ScannedAddress = { address: string; end: number }

/** The address whose `<` stands at `at`, and where the text goes on; `null` where there is none in proper form. Linear. */
export function bracketedAddress(text: string, at: number): ScannedAddress | null {
  if (text[at] !== '<') return null
  let isQuoted = false
  for (let index = at + 1; index < text.length; index += 1) {
    const character = text[index]!
    if (isQuoted) {
      if (character === '\\') index += 1
      else if (character === '"') isQuoted = false
    } else if (character === '"') isQuoted = true
    else if (character === '>') return { address: text.slice(at + 1, index), end: index + 1 }
    else if (character === '<' || character === ' ' || character === '\t') return null
  }
  return null
}
