/**
 * Text as a person reads it: in its character set, without the tags of HTML, with one blank for any white space.
 *
 * Why  one pass each, by position: a text of a million `<` must cost no more than another of its length.
 */
import { charsetText } from '../../data/charset-text.ts'

const blockTag = /^\/?(?:p|div|br|li|ul|ol|td|th|tr|table|h[1-6]|title|blockquote|hr)\b/i
const hidden = /^(script|style)\b/i
const named: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: ' ' }

export function plainText(octets: Buffer, type: string, charset: string): string {
  const text = charsetText(octets, charset)
  return oneBlank(type === 'text/html' ? withoutTags(text) : text)
}

export function oneBlank(text: string): string {
  // Soft hyphens and zero-width characters are not seen, and would split a word.
  return text.replace(/[\u00ad\u200b-\u200d\u2060\ufeff]/g, '').replace(/\s+/g, ' ')
}

function withoutTags(html: string): string {
  const parts: string[] = []
  let at = 0
  for (;;) {
    const open = html.indexOf('<', at)
    const close = open < 0 ? -1 : html.indexOf('>', open)
    if (close < 0) break
    const tag = html.slice(open + 1, Math.min(close, open + 20))
    parts.push(html.slice(at, open), blockTag.test(tag) ? ' ' : '')
    at = close + 1
    const skipped = hidden.exec(tag)
    if (skipped === null) continue
    const end = html.toLowerCase().indexOf(`</${skipped[1]!.toLowerCase()}`, at)
    at = end < 0 ? html.length : end
  }
  parts.push(html.slice(at))
  return parts.join('').replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,6}));/gi, (whole, decimal?: string, hex?: string, name?: string) => {
    if (name !== undefined) return named[name.toLowerCase()] ?? whole
    const code = decimal === undefined ? Number.parseInt(hex!, 16) : Number(decimal)
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole
  })
}
