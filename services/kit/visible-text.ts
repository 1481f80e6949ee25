/**
 * Text of strangers made safe to look at: what would act on a terminal, or hide, stands there as an escape.
 *
 * Why  a subject may hold ANSI sequences that move the cursor, retitle the window or colour a refusal green, and
 *      direction marks that turn an address around.
 */
const hidden = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}]/gu
const named: Record<string, string> = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '\0': '\\0' }

export function visibleText(text: string): string {
  return text.replace(hidden, (sign) => {
    const code = sign.codePointAt(0)!
    return named[sign] ?? (code < 0x100 ? `\\x${hex(code, 2)}` : `\\u{${hex(code, 1)}}`)
  })
}

/** Octets as UTF-8; what is none stands as `\xNN`. */
export function visibleOctets(octets: Uint8Array): string {
  const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let shown = ''
  for (let from = 0; from < octets.length; ) {
    const length = sequenceLength(octets[from]!)
    try {
      shown += visibleText(strict.decode(octets.subarray(from, from + length)))
      from += length
    } catch {
      shown += `\\x${hex(octets[from]!, 2)}`
      from += 1
    }
  }
  return shown
}

/** RFC 3629 §3; 1 also for an octet that begins nothing. */
function sequenceLength(first: number): number {
  if (first >= 0xf0) return 4
  if (first >= 0xe0) return 3
  return first >= 0xc0 ? 2 : 1
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, '0')
}
