/**
 * Languages of the UI. English is in the first bundle, the others are loaded when chosen.
 *
 * Limits  a language is complete or it does not compile: its messages have the type of the English ones.
 */
import { createI18n } from 'vue-i18n'
import { en, type Messages } from './en.ts'

export const languages = { en: 'English', ru: 'Русский', ja: '日本語' } as const
export type Language = keyof typeof languages

const storageKey = 'tollgate.language'

const loaders: Record<Exclude<Language, 'en'>, () => Promise<Messages>> = {
  ru: async () => (await import('./ru.ts')).ru,
  ja: async () => (await import('./ja.ts')).ja,
}

export function storedLanguage(): Language {
  const stored = localStorage.getItem(storageKey) ?? navigator.language.slice(0, 2)
  return stored in languages ? (stored as Language) : 'en'
}

export async function messagesOf(language: Language): Promise<Messages> {
  return language === 'en' ? en : await loaders[language]()
}

export async function createLocale(language: Language) {
  const i18n = createI18n({
    legacy: false,
    locale: language,
    fallbackLocale: 'en',
    messages: { en, [language]: await messagesOf(language) },
    pluralRules: { ru: russianPlural },
  })
  document.documentElement.lang = language
  return i18n
}

export function rememberLanguage(language: Language): void {
  localStorage.setItem(storageKey, language)
  document.documentElement.lang = language
}

/**
 * Forms `one | few | many`; four forms begin with one for none, as in English.
 */
export function russianPlural(count: number, formCount: number): number {
  const tens = count % 100
  const ones = count % 10
  const form = ones === 1 && tens !== 11 ? 0 : ones >= 2 && ones <= 4 && (tens < 12 || tens > 14) ? 1 : 2
  return formCount === 4 ? (count === 0 ? 0 : form + 1) : Math.min(form, formCount - 1)
}
