/** Text that somebody else wrote (a name server, a header), made fit for an event and a terminal. */
import { cutText } from '../data/header-section.ts'

const detailBytes = 200

/** One line of printable ASCII of at most 200 octets; what is not printable is a question mark. */
export function cleanDetail(text: string): string {
  return cutText(text.slice(0, 2 * detailBytes).replace(/[^\x20-\x7e]/g, '?'), detailBytes)
}

/** A host name as it is shown: lower case, without the last dot, odd octets as question marks. */
export function cleanName(name: string): string {
  const lower = name.slice(0, 254).toLowerCase().replace(/\.$/, '')
  return lower.replace(/[^a-z0-9._-]/g, '?').slice(0, 253)
}
