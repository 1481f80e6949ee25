/**
 * Octets as text by the charset that a message names; what is broken in it becomes U+FFFD.
 *
 * Why  Node reads windows-1252, and so also what calls itself ISO 8859-1, without the signs of 0x80-0x9f, which mail
 *      programs use and the web shows (WHATWG Encoding).
 */

/** From 0x80 on; the five that are not assigned stay as they are. */
const windowsSigns = '€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ'

export function charsetText(octets: Buffer, charset: string): string {
  const name = charset.trim().toLowerCase()
  try {
    // Who writes no charset, or ASCII, and has other octets, mostly means UTF-8.
    const decoder = new TextDecoder(name === '' || name === 'us-ascii' ? 'utf-8' : name)
    if (decoder.encoding !== 'windows-1252') return decoder.decode(octets)
    return octets.toString('latin1').replace(/[\x80-\x9f]/g, (octet) => windowsSigns[octet.charCodeAt(0) - 0x80]!)
  } catch (error) {
    // A charset that nobody knows: octets that are ASCII can be read all the same.
    if (error instanceof RangeError) return octets.toString('latin1')
    throw error
  }
}
