import path from 'node:path'

/** Where an archive stands: apart from spool and event log, also on another disk. */
export function archiveFolder({ folder, name }: { folder?: string; name: string }, data: string): string {
  return folder ?? path.join(data, 'archive', name)
}
