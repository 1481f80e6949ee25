/**
 * The time range of the top line: a preset counted back from now, or a span. Its text is what the URL holds.
 */
export const presets = ['1h', '24h', '7d', '30d', '365d'] as const
export type Preset = (typeof presets)[number]
export type TimeRange = { preset: Preset } | { from: Date; upto: Date }

export const defaultRange: TimeRange = { preset: '24h' }

const hoursOf: Record<Preset, number> = { '1h': 1, '24h': 24, '7d': 7 * 24, '30d': 30 * 24, '365d': 365 * 24 }

/** Text that is no range (an old link, a typing error) means the default. */
export function rangeFrom(text: unknown): TimeRange {
  if (typeof text !== 'string') return defaultRange
  if ((presets as readonly string[]).includes(text)) return { preset: text as Preset }
  const [from, upto] = text.split('..').map((part) => new Date(part)) as [Date, Date?]
  if (upto === undefined || Number.isNaN(from.getTime()) || Number.isNaN(upto.getTime()) || from >= upto) {
    return defaultRange
  }
  return { from, upto }
}

export function rangeText(range: TimeRange): string {
  return 'preset' in range ? range.preset : `${secondText(range.from)}..${secondText(range.upto)}`
}

/** The terms of the query language that mean this range. */
export function rangeTerms(range: TimeRange): string {
  if ('preset' in range) return `after:-${range.preset}`
  return `after:${secondText(range.from)} before:${secondText(range.upto)}`
}

/** Hours back from now; `null` for a span. */
export function rangeHours(range: TimeRange): number | null {
  return 'preset' in range ? hoursOf[range.preset] : null
}

export function isSameRange(one: TimeRange, other: TimeRange): boolean {
  return rangeText(one) === rangeText(other)
}

function secondText(time: Date): string {
  return time.toISOString().replace('.000Z', 'Z')
}
