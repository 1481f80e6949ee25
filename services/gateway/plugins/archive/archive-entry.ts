/**
 * What stands in an archive: two files for each message, below a folder for the day (UTC) on which it came.
 *
 *   2026-11-25/<id>.until-20361123.<sha256 of the message>.eml
 *   2026-11-25/<id>.until-20361123.<sha256 of this file>.json     envelope, and the digest of the message
 *
 * Why  names say what the content must be, so that nobody needs a database to find out whether it still is; and when
 *      a message may go, so that a look for those need not open the others.
 */
export type ArchiveEnvelope = {
  version: 1
  id: string
  archivedAt: string
  /** Last day (UTC) of its time, as 20361123; `null`: for ever. */
  keepUntil: string | null
  /** Why so long: `domain example.org`, `rule contracts`, or `keepDays`. */
  keptBy: string
  sender: string
  /** Those that were answered 250. */
  recipients: string[]
  /** Where it goes, after redirections and copies. */
  deliveredTo: string[]
  disposition: 'deliver' | 'quarantine'
  remoteIp: string | null
  authUser: string | null
  subject: string | null
  messageId: string | null
  sizeBytes: number
  sha256: string
  /** What leaves before the message: signatures, Received, marks. */
  prependedHeaders: string
  subjectTag: string | null
}

export type ArchiveName = { id: string; keepUntil: string | null; sha256: string; extension: 'eml' | 'json' }

const pattern = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.(until-(\d{8})|forever)\.([0-9a-f]{64})\.(eml|json)$/

export function archiveFileName({ id, keepUntil, sha256, extension }: ArchiveName): string {
  return `${id}.${keepUntil === null ? 'forever' : `until-${keepUntil}`}.${sha256}.${extension}`
}

export function parsedArchiveName(name: string): ArchiveName | null {
  const match = pattern.exec(name)
  if (match === null) return null
  return { id: match[1]!, keepUntil: match[3] ?? null, sha256: match[4]!, extension: match[5] as 'eml' | 'json' }
}

/** `2026-11-25`. */
export function dayFolder(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 10)
}

/** `20261125`. */
export function dayNumber(timeMs: number): string {
  return dayFolder(timeMs).replaceAll('-', '')
}
