/**
 * Marks: what a rule or a threshold puts on a message, as texts that stand in the event, and what they become.
 *
 * Owns  the two forms `subject:[SPAM]` and `header:X-Spam: yes`.
 */
import type { Branch } from './ruleset.ts'

/** Tells the tag where the subject keeps its octets. */
export const markHeaderName = 'X-Tollgate-Mark'
/** What a threshold puts on a message. */
export const flagHeaderName = 'X-Spam-Flag'
export const scoreHeaderName = 'X-Spam-Score'

const subjectPrefix = 'subject:'
const headerPrefix = 'header:'

export function subjectMark(tag: string): string {
  return subjectPrefix + tag
}

export function headerMark(name: string, value: string): string {
  return `${headerPrefix}${name}: ${value}`
}

export function marksOf(branch: Branch): string[] {
  const marks: string[] = []
  if (branch.markSubject !== undefined) marks.push(subjectMark(branch.markSubject))
  if (branch.addHeader !== undefined) marks.push(headerMark(branch.addHeader.name, branch.addHeader.value))
  return marks
}

/** Tag to put before the subject: all of them, each once, or `null`. */
export function subjectTagOf(marks: readonly string[]): string | null {
  const tags = marks.filter((mark) => mark.startsWith(subjectPrefix)).map((mark) => mark.slice(subjectPrefix.length))
  return tags.length === 0 ? null : [...new Set(tags)].join(' ')
}

/** Header lines to put before the message, each ended by CRLF. */
export function headerLinesOf(marks: readonly string[]): string {
  let lines = ''
  for (const mark of marks) if (mark.startsWith(headerPrefix)) lines += `${mark.slice(headerPrefix.length)}\r\n`
  return lines
}
