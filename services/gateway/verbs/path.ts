/**
 * Paths and parameters of MAIL and RCPT (RFC 5321 §4.1.2, RFC 6531 §3.3).
 *
 * Owns   taking an argument apart; a source route is read and dropped (RFC 5321 §C).
 * Leaves who may be written to, to policy.
 * Why    lenient in form (a missing pair of brackets, a space behind the colon), as the servers that it takes the
 *        place of are; strict in content: no control characters, no second `@` outside quotes.
 */

/** The address without brackets, the empty string for `<>`; parameters with upper-case names, values as given. */
export type PathArgument = { address: string; isAscii: boolean; parameters: Map<string, string | null> }

/** `null` where the argument is malformed. `argument` is what follows `FROM:` or `TO:`. */
export function parsePathArgument(argument: string, pathBytes: number): PathArgument | null {
  const text = argument.trim()
  const end = text.startsWith('<') ? closingBracket(text) : firstSpace(text)
  if (end === null) return null
  const path = text.startsWith('<') ? text.slice(1, end - 1) : text.slice(0, end)
  if (Buffer.byteLength(path) > pathBytes) return null
  const address = withoutSourceRoute(path)
  if (address === null) return null
  const parameters = parseParameters(text.slice(end))
  return parameters === null ? null : { address, isAscii: isAscii(address), parameters }
}

/** Whether it has a local part and a domain, both well-formed. */
export function isMailbox(address: string): boolean {
  const at = address.lastIndexOf('@')
  return at > 0 && isLocalPart(address.slice(0, at)) && isDomain(address.slice(at + 1))
}

export function isLocalPart(text: string): boolean {
  if (dotString.test(text)) return true
  return quotedString.test(text)
}

export function isDomain(text: string): boolean {
  if (text.length === 0 || text.length > 255) return false
  if (text.startsWith('[')) return addressLiteral.test(text)
  // Lenient with underscores and a trailing dot is not: it would make two names of one domain.
  return domainName.test(text)
}

export function isAscii(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) if (text.charCodeAt(index) > 0x7f) return false
  return true
}

const atom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~\\-\\u0080-\\u{10ffff}]+"
/** Dots may stand anywhere: some providers hand out such addresses. */
const dotString = new RegExp(`^(?:${atom}|\\.)+$`, 'u')
const quotedString = /^"(?:[\x20\x21\x23-\x5b\x5d-\x7e\u0080-\u{10ffff}]|\\[\x20-\x7e])*"$/u
const label = '[A-Za-z0-9_\\u0080-\\u{10ffff}](?:[A-Za-z0-9_\\-\\u0080-\\u{10ffff}]*[A-Za-z0-9_\\u0080-\\u{10ffff}])?'
const domainName = new RegExp(`^${label}(?:\\.${label})*$`, 'u')
const addressLiteral = /^\[(?:\d{1,3}(?:\.\d{1,3}){3}|IPv6:[0-9A-Fa-f:.]+)\]$/i
const parameterPattern = /^([A-Za-z0-9][A-Za-z0-9-]*)(?:=([\x21-\x3c\x3e-\x7e\u0080-\u{10ffff}]+))?$/u

/** Just behind the `>` that ends the path; one within a quoted local part does not. */
function closingBracket(text: string): number | null {
  let isQuoted = false
  for (let index = 1; index < text.length; index += 1) {
    const character = text[index]
    if (character === '\\' && isQuoted) index += 1
    else if (character === '"') isQuoted = !isQuoted
    else if (character === '>' && !isQuoted) return index + 1
  }
  return null
}

function firstSpace(text: string): number | null {
  if (text === '') return null
  const space = text.indexOf(' ')
  return space < 0 ? text.length : space
}

function withoutSourceRoute(path: string): string | null {
  if (!path.startsWith('@')) return path
  const colon = path.indexOf(':')
  if (colon < 0) return null
  const hops = path.slice(0, colon).split(',')
  return hops.every((hop) => hop.startsWith('@') && isDomain(hop.slice(1))) ? path.slice(colon + 1) : null
}

function parseParameters(text: string): Map<string, string | null> | null {
  const parameters = new Map<string, string | null>()
  if (text === '') return parameters
  if (!text.startsWith(' ')) return null
  for (const word of text.split(' ')) {
    if (word === '') continue
    const match = parameterPattern.exec(word)
    if (match === null) return null
    const name = match[1]!.toUpperCase()
    if (parameters.has(name)) return null
    parameters.set(name, match[2] ?? null)
  }
  return parameters
}
