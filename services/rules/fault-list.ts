/** Faults of a rule set as they are found: a path into the value, what is wrong, and what to write instead. */

export type Path = readonly (string | number)[]
export type PathFault = {
  path: Path
  message: string
  remedy?: string
  /** Where in the text at the path, in UTF-16 units from its start. */
  offset?: number
  /** The key is at fault, not what stands behind it. */
  isKey?: true
}

export class FaultList {
  readonly all: PathFault[] = []

  add(path: Path, message: string, remedy?: string, offset?: number): void {
    this.all.push({
      path,
      message,
      ...(remedy === undefined ? {} : { remedy }),
      ...(offset === undefined ? {} : { offset }),
    })
  }

  addUnknownKeys(path: Path, value: Record<string, unknown>, known: readonly string[]): void {
    for (const key of Object.keys(value)) {
      if (known.includes(key)) continue
      const remedy = nearest(key, known)
      this.all.push({
        path: [...path, key],
        message: `There is no "${key}" here, but ${known.join(', ')}`,
        ...(remedy === undefined ? {} : { remedy }),
        isKey: true,
      })
    }
  }

  addUnlessText(path: Path, value: unknown, pattern: string, maxLength: number, minLength = 0): void {
    const isText = typeof value === 'string' && value.length >= minLength && value.length <= maxLength
    if (isText && new RegExp(pattern).test(value)) return
    this.add(path, `This is a text of ${minLength} to ${maxLength} characters on one line`)
  }

  addUnlessWeight(path: Path, value: unknown): void {
    if (typeof value !== 'number' || !Number.isFinite(value)) return this.add(path, 'A weight is a number')
    if (Math.abs(value) > 1_000_000) return this.add(path, 'A weight lies between -1000000 and 1000000')
    if (!hasAtMostThreeDecimals(value)) {
      this.add(path, `${value} has more than three decimals`, `Write ${Math.round(value * 1000) / 1000}`)
    }
  }
}

export function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function isMember<const Word>(words: readonly Word[], value: unknown): value is Word {
  return (words as readonly unknown[]).includes(value)
}

/** By its shortest decimal form, which is what was written: `0.1 + 0.2` is not 0.3. */
export function hasAtMostThreeDecimals(value: number): boolean {
  return Math.round(value * 1000) / 1000 === value
}

/** A remedy that names the known word nearest to what was written, where one is near enough to be meant. */
export function nearest(written: string, known: readonly string[]): string | undefined {
  let best: string | undefined
  let bestDistance = Math.max(2, Math.floor(written.length / 3)) + 1
  for (const word of known) {
    const distance = editDistance(written.toLowerCase(), word.toLowerCase())
    if (distance < bestDistance) {
      best = word
      bestDistance = distance
    }
  }
  return best === undefined ? undefined : `Did you mean ${best}?`
}

/** Levenshtein's, for short words. */
function editDistance(left: string, right: string): number {
  let row = Array.from({ length: right.length + 1 }, (_, index) => index)
  for (let i = 1; i <= left.length; i += 1) {
    const next = [i]
    for (let j = 1; j <= right.length; j += 1) {
      const substituted = row[j - 1]! + (left[i - 1] === right[j - 1] ? 0 : 1)
      next.push(Math.min(substituted, row[j]! + 1, next[j - 1]! + 1))
    }
    row = next
  }
  return row[right.length]!
}

/** `rules[3].when.all[0].matches` */
export function pathText(path: Path): string {
  let text = ''
  for (const part of path) text += typeof part === 'number' ? `[${part}]` : text === '' ? part : `.${part}`
  return text
}
