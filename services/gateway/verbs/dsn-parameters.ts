/**
 * The parameters of MAIL and RCPT by which a sender says what it wants to be told (RFC 3461 §4).
 *
 * Owns    their syntax; what stands in xtext is kept decoded, as it belongs into a report.
 * Leaves  who may use them to dialog.ts: only who may be written back to.
 */

export type ReturnRequest = { return: 'full' | 'headers' | null; envelopeId: string | null }
export type NotifyWord = 'never' | 'success' | 'failure' | 'delay'
export type NotifyRequest = {
  /** `null`: nothing was said, which means failure and perhaps delay. */
  notify: readonly NotifyWord[] | null
  /** Type and address, as in `rfc822;ann@example.org`. */
  originalRecipient: string | null
}

const words = ['success', 'failure', 'delay'] as const
const longestEnvelopeId = 100
const longestOriginalRecipient = 500

/** `null`: malformed. */
export function returnRequest(ret: string | null | undefined, envid: string | null | undefined): ReturnRequest | null {
  const envelopeId = envid === undefined ? null : decodedText(envid, longestEnvelopeId)
  if (envelopeId === undefined) return null
  if (ret === undefined) return { return: null, envelopeId }
  const wanted = ret?.toUpperCase()
  if (wanted !== 'FULL' && wanted !== 'HDRS') return null
  return { return: wanted === 'FULL' ? 'full' : 'headers', envelopeId }
}

/** `null`: malformed. */
export function notifyRequest(notify: string | null | undefined, orcpt: string | null | undefined): NotifyRequest | null {
  const asked = notify === undefined ? null : notifyWords(notify)
  const originalRecipient = orcpt === undefined ? null : originalOf(orcpt)
  return asked === undefined || originalRecipient === undefined ? null : { notify: asked, originalRecipient }
}

function notifyWords(text: string | null): NotifyWord[] | undefined {
  if (text?.toUpperCase() === 'NEVER') return ['never']
  const asked = text?.toLowerCase().split(',') ?? []
  const isRight = asked.length > 0 && new Set(asked).size === asked.length && asked.every((word) => (words as readonly string[]).includes(word))
  return isRight ? words.filter((word) => asked.includes(word)) : undefined
}

function originalOf(text: string | null): string | undefined {
  const [, type, encoded] = /^([A-Za-z0-9-]{1,40});(.+)$/.exec(text ?? '') ?? []
  const address = encoded === undefined ? undefined : decodedText(encoded, longestOriginalRecipient)
  return address === undefined ? undefined : `${type!.toLowerCase()};${address}`
}

/** xtext (RFC 3461 §4): every octet of it must be printable, for it goes into a header field. */
function decodedText(text: string | null, longest: number): string | undefined {
  if (text === null || text.length === 0 || text.length > longest) return undefined
  if (!/^(?:\+[0-9A-F]{2}|[\x21-\x2a\x2c-\x3c\x3e-\x7e\u0080-\u{10ffff}])+$/u.test(text)) return undefined
  const decoded = text.replace(/\+([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  return /[\x00-\x1f\x7f-\x9f]/.test(decoded) ? undefined : decoded
}

/** The other way, for a next hop that understands it. */
export function xtext(text: string): string {
  return text.replace(/[^\x21-\x2a\x2c-\x3c\x3e-\x7e]/g, (character) => `+${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`)
}
