/** A mistake in what somebody wrote: where it stands, what is wrong, and what to write instead. */
export type Fault = {
  /** Path of the file, or the name of the environment variable. */
  source: string
  /** From 1; `null` where the source has no lines. */
  line: number | null
  column: number | null
  /** Path of the setting, e.g. `routes[0].port`; the empty string is the whole file. */
  field: string
  message: string
  /** What to do; a sentence. */
  remedy: string
}

/** `tollgate.yaml:3:5: routes[0].port: is 70000, and must be … Write … ` */
export function faultText(fault: Fault): string {
  const place = [fault.source, fault.line, fault.column].filter((part) => part !== null).join(':')
  const field = fault.field === '' || fault.field === fault.source ? '' : `${fault.field}: `
  return `${place}: ${field}${fault.message}. ${fault.remedy}.`
}

/** By source and position, the order in which they are mended. */
export function inReadingOrder(faults: readonly Fault[]): Fault[] {
  return [...faults].sort(
    (a, b) => (a.source < b.source ? -1 : a.source > b.source ? 1 : 0) || (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0),
  )
}
