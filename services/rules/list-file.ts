/** A named list in a file of its own: one entry a line, `#` and what follows it is for people. */

export type ListEntry = { text: string; line: number }

export function parseListFile(text: string): ListEntry[] {
  const entries: ListEntry[] = []
  // A `#` within a word belongs to it: addresses may have one.
  for (const [index, line] of text
    .replace(/^\ufeff/, '')
    .split(/\r?\n/)
    .entries()) {
    const entry = line.replace(/(^|\s)#.*$/, '').trim()
    if (entry !== '') entries.push({ text: entry, line: index + 1 })
  }
  return entries
}

/** Names of the files that the lists of a rule set name, as `lists: { traps: { file: ./traps.txt } }` does. */
export function listFileNames(lists: unknown): string[] {
  if (typeof lists !== 'object' || lists === null) return []
  return Object.values(lists).flatMap((list: unknown) =>
    typeof list === 'object' && list !== null && 'file' in list && typeof list.file === 'string' ? [list.file] : [],
  )
}
