/**
 * The PROXY protocol, versions 1 and 2, as a proxy that is listed writes it before anything else.
 *
 * Owns    telling a whole header, a beginning of one, and what is none.
 * Leaves  from whom it is read, and for how long, to listener.ts.
 * Limits  107 octets in version 1 (its own limit), `longestBytes` in version 2.
 * Why     an own parser: the format is small, and where one octet more or less is taken for the header, a stranger
 *         chooses the address that he is judged by.
 */
import { isIPv4, isIPv6 } from 'node:net'

/**
 * Who is behind the proxy. `unknown`: the proxy does not say, so nobody may be taken for one of ours; `proxy`: the
 * connection is the proxy's own, e.g. a look whether we are alive.
 */
export type ProxySource = { ip: string; port: number } | 'unknown' | 'proxy'

export type ProxyReading =
  | { status: 'whole'; source: ProxySource; headerBytes: number }
  | { status: 'partial' }
  | { status: 'none'; why: string }

const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const longestTextBytes = 107
/** Room for the longest addresses and some 3,800 octets of what proxies tell besides. */
export const longestBytes = 4_096

const partial: ProxyReading = { status: 'partial' }

/** `octets`: all that came so far. */
export function readProxyHeader(octets: Buffer): ProxyReading {
  if (octets.length === 0) return partial
  const seen = Math.min(octets.length, signature.length)
  if (octets.compare(signature, 0, seen, 0, seen) === 0) return seen < signature.length ? partial : readBinary(octets)
  const word = octets.toString('latin1', 0, Math.min(octets.length, 6))
  return 'PROXY '.startsWith(word) ? readText(octets) : none('there is no PROXY header')
}

function readText(octets: Buffer): ProxyReading {
  const end = octets.subarray(0, longestTextBytes).indexOf('\r\n', 0, 'latin1')
  if (end < 0) return octets.length < longestTextBytes ? partial : none('the PROXY line is too long')
  const headerBytes = end + 2
  const text = octets.toString('latin1', 0, end)
  // What follows UNKNOWN has no meaning (version 1 has no word of its own for the proxy's connections).
  if (text === 'PROXY UNKNOWN' || text.startsWith('PROXY UNKNOWN ')) return { status: 'whole', source: 'unknown', headerBytes }
  const words = text.split(' ')
  const [, family, ip = '', destination = '', port = '', destinationPort = ''] = words
  const isOf = family === 'TCP4' ? isIPv4 : family === 'TCP6' ? isPlainIpv6 : () => false
  if (words.length !== 6 || !isOf(ip) || !isOf(destination)) return none('the PROXY line is malformed')
  if (!isPort(port) || !isPort(destinationPort)) return none('the PROXY line has a malformed port')
  return { status: 'whole', source: { ip: family === 'TCP6' ? canonicalIpv6(ip) : ip, port: Number(port) }, headerBytes }
}

function readBinary(octets: Buffer): ProxyReading {
  if (octets.length < 13) return partial
  const command = octets[12]!
  if (command >> 4 !== 2) return none('the PROXY header has another version than 2')
  if ((command & 0x0f) > 1) return none('the PROXY header has an unknown command')
  if (octets.length < 16) return partial
  const bodyBytes = octets.readUInt16BE(14)
  const headerBytes = 16 + bodyBytes
  if (headerBytes > longestBytes) return none('the PROXY header is too long')
  if (octets.length < headerBytes) return partial
  if ((command & 0x0f) === 0) return { status: 'whole', source: 'proxy', headerBytes }
  const family = octets[13]!
  if (family === 0x11) {
    if (bodyBytes < 12) return none('the PROXY header has no room for its addresses')
    return { status: 'whole', source: { ip: octets.subarray(16, 20).join('.'), port: octets.readUInt16BE(24) }, headerBytes }
  }
  if (family === 0x21) {
    if (bodyBytes < 36) return none('the PROXY header has no room for its addresses')
    return { status: 'whole', source: { ip: ipv6Text(octets.subarray(16, 32)), port: octets.readUInt16BE(48) }, headerBytes }
  }
  // Unspecified, a Unix socket, UDP: nobody whom we could judge.
  return { status: 'whole', source: 'unknown', headerBytes }
}

function isPort(text: string): boolean {
  return /^(?:0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535
}

/** Without a zone, which means something on the proxy only. */
function isPlainIpv6(text: string): boolean {
  return isIPv6(text) && !text.includes('%')
}

/** As everywhere else in the log: shortened, in lower case; an IPv4 address in disguise stays one. */
function ipv6Text(octets: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, index) => octets.readUInt16BE(index * 2).toString(16))
  if (groups.slice(0, 5).every((group) => group === '0') && groups[5] === 'ffff') return `::ffff:${octets.subarray(12).join('.')}`
  return canonicalIpv6(groups.join(':'))
}

function canonicalIpv6(text: string): string {
  return text.includes('.') ? text.toLowerCase() : new URL(`http://[${text}]`).hostname.slice(1, -1)
}

function none(why: string): ProxyReading {
  return { status: 'none', why }
}
