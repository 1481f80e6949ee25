/**
 * Times as text, in a zone and a language.
 *
 * Why  Intl.DateTimeFormat costs ~50 µs to make and a list shows thousands of times: one is kept per pattern.
 */
export type TimeText = {
  /** `24 Nov 14:02:11`: a row of a list. */
  row(iso: string): string
  /** `14:02:11` */
  clock(iso: string): string
  /** `24 Nov` */
  day(iso: string): string
  /** `24 November 2026 at 14:02:11 UTC`: what may stand in a letter. */
  full(iso: string): string
  /** A label of a time axis whose ticks lie so far apart; midnight is its day. */
  tick(time: Date, stepMs: number): string
  /** `3 minutes ago` */
  relative(iso: string, nowMs: number): string
}

const minuteMs = 60_000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs

export function createTimeText(locale: string, timeZone: string): TimeText {
  const pattern = (options: Intl.DateTimeFormatOptions) =>
    new Intl.DateTimeFormat(locale, { timeZone, hourCycle: 'h23', ...options })
  const clock = pattern({ hour: '2-digit', minute: '2-digit', second: '2-digit' })
  const minute = pattern({ hour: '2-digit', minute: '2-digit' })
  // English months are three letters; elsewhere digits are what fits beside a clock.
  const day = pattern(locale.startsWith('en') ? { day: 'numeric', month: 'short' } : { day: '2-digit', month: '2-digit' })
  const full = pattern({ dateStyle: 'long', timeStyle: 'long' })
  const relative = new Intl.RelativeTimeFormat(locale, { numeric: 'auto' })
  return {
    row: (iso) => `${day.format(new Date(iso))} ${clock.format(new Date(iso))}`,
    clock: (iso) => clock.format(new Date(iso)),
    day: (iso) => day.format(new Date(iso)),
    full: (iso) => full.format(new Date(iso)),
    tick: (time, stepMs) => (stepMs >= dayMs || minute.format(time) === '00:00' ? day : minute).format(time),
    relative: (iso, nowMs) => relativeText(relative, new Date(iso).getTime() - nowMs),
  }
}

function relativeText(format: Intl.RelativeTimeFormat, differenceMs: number): string {
  const distance = Math.abs(differenceMs)
  if (distance < minuteMs) return format.format(Math.round(differenceMs / 1000), 'second')
  if (distance < hourMs) return format.format(Math.round(differenceMs / minuteMs), 'minute')
  if (distance < 2 * dayMs) return format.format(Math.round(differenceMs / hourMs), 'hour')
  return format.format(Math.round(differenceMs / dayMs), 'day')
}

/** `412 µs`, `3.1 ms`, `1.28 s`: three digits at most. */
export function durationText(locale: string, us: number): string {
  const [value, unit] = us < 1000 ? [us, 'µs'] : us < 1_000_000 ? [us / 1000, 'ms'] : [us / 1_000_000, 's']
  return `${new Intl.NumberFormat(locale, { maximumSignificantDigits: 3 }).format(value)} ${unit}`
}
