/**
 * What a person would read of HTML, as plain text.
 *
 * Owns    that no tag, attribute, script, style or comment survives; its output is text and never becomes markup again.
 * Why     one pass from left to right, each search beginning where the last ended: no input makes it slow.
 */

/** Their content is no text. */
const silentElements = ['script', 'style', 'head', 'title', 'template', 'noscript', 'textarea', 'iframe', 'svg']
const lineElements = new Set('p div br tr li ul ol table h1 h2 h3 h4 h5 h6 hr blockquote pre section article header footer'.split(' '))

export function htmlText(html: string): string {
  // ASCII only: other letters may change their length, and the two texts must stay aligned.
  const lower = html.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
  let text = ''
  let at = 0
  while (at < html.length) {
    const open = html.indexOf('<', at)
    if (open < 0) {
      text += html.slice(at)
      break
    }
    text += html.slice(at, open)
    if (html.startsWith('<!--', open)) {
      const end = html.indexOf('-->', open + 4)
      at = end < 0 ? html.length : end + 3
      continue
    }
    const name = /^<\/?([a-z][a-z0-9]{0,20})/.exec(lower.slice(open, open + 24))?.[1]
    if (name === undefined && !/^<[!?/]/.test(lower.slice(open, open + 2))) {
      text += '<'
      at = open + 1
      continue
    }
    at = endOfTag(html, open)
    if (name === undefined) continue
    if (lineElements.has(name)) text += '\n'
    if (silentElements.includes(name) && lower[open + 1] !== '/') {
      const end = lower.indexOf(`</${name}`, at)
      at = end < 0 ? html.length : end
    }
  }
  return withoutEntities(text)
    .replace(/[ \t\u00a0]+/g, ' ')
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line, index, lines) => line !== '' || (index > 0 && lines[index - 1] !== ''))
    .join('\n')
    .trim()
}

/** Behind its `>`; one inside a quoted attribute does not count. */
function endOfTag(html: string, open: number): number {
  let quote = ''
  for (let at = open + 1; at < html.length; at += 1) {
    const sign = html[at]!
    if (quote !== '') {
      if (sign === quote) quote = ''
    } else if (sign === '>') return at + 1
    else if ((sign === '"' || sign === "'") && html[at - 1] === '=') quote = sign
  }
  return html.length
}

const entities: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: ' ', euro: '€', copy: '©', shy: '' }

function withoutEntities(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,8}));/gi, (whole, decimal?: string, hex?: string, name?: string) => {
    if (name !== undefined) return entities[name.toLowerCase()] ?? whole
    const code = decimal !== undefined ? Number(decimal) : Number.parseInt(hex!, 16)
    return code > 0x10ffff || code === 0 ? '\ufffd' : String.fromCodePoint(code)
  })
}
