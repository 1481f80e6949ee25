/**
 * How a command ends other than well. Exit codes: 1 the world failed, 2 used wrongly or bad configuration.
 */

/** Wrong arguments or configuration; each line is a sentence for the one who typed it. */
export class UsageError extends Error {
  readonly lines: readonly string[]

  constructor(lines: string | readonly string[]) {
    const all = typeof lines === 'string' ? [lines] : lines
    super(all.join('\n'))
    this.lines = all
  }
}

/** The world failed, and the sentence says how; whatever caused it is in `cause`. */
export class WorldFailure extends Error {}
