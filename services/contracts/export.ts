/** The forms in which tables leave the house. */
export const exportFormats = ['json', 'csv', 'xlsx', 'ndjson', 'focus'] as const
export type ExportFormat = (typeof exportFormats)[number]

/** How CSV is shaped for a program that reads it; `excel` goes with a locale. */
export const exportProfiles = ['excel'] as const

/** A language, or a language and a country: de, de-CH. */
export const localePattern = '^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$'
