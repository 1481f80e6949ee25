import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { createI18n } from 'vue-i18n'
import { apiErrorCodes } from '../../../services/contracts/api.ts'
import { ruleActions } from '../../../services/contracts/event.ts'
import { networkClasses, outcomes, reasons, roles, stages } from '../../../services/contracts/vocabulary.ts'
import { shownOutcome } from '../outcome/outcome-look.ts'
import { russianPlural } from './create-locale.ts'
import { en } from './en.ts'
import { ja } from './ja.ts'
import { ru } from './ru.ts'

const source = fileURLToPath(new URL('..', import.meta.url))
const english = flattened(en)

describe.each([['ru', flattened(ru)], ['ja', flattened(ja)]] as const)('%s', (_language, messages) => {
  it('has every message of the English, and none more', () => {
    expect([...messages.keys()].sort()).toEqual([...english.keys()].sort())
  })
  it('puts in the same values as the English, message by message', () => {
    for (const [key, text] of english) expect({ key, values: placeholders(messages.get(key)!) }).toEqual({ key, values: placeholders(text) })
  })
})

it.each([['en', en], ['ru', ru], ['ja', ja]] as const)('says every message of %s for every count, with no placeholder left', (locale, messages) => {
  const { t } = createI18n({ legacy: false, locale, messages: { [locale]: messages }, pluralRules: { ru: russianPlural } }).global
  for (const [key, text] of flattened(messages)) {
    const values = Object.fromEntries(placeholders(text).map((name) => [name, 'X']))
    for (const count of [0, 1, 2, 5, 21]) {
      const said = text.includes(' | ') ? t(key, values, count) : t(key, values)
      expect({ key, said }).toEqual({ key, said: expect.not.stringMatching(/[{}|]/) })
      expect({ key, said }).not.toEqual({ key, said: key })
    }
  }
})

it('has a word for every word of the contracts', () => {
  const keys = [
    ...Object.keys(apiErrorCodes).map((code) => `failure.${code}`),
    ...outcomes.map((outcome) => `outcome.${shownOutcome(outcome)}`),
    ...reasons.flatMap((reason) => [`reason.${reason}`, `because.${reason}`]),
    ...stages.map((stage) => `stage.${stage}`),
    ...roles.map((role) => `role.${role}`),
    ...networkClasses.map((name) => `network.${name}`),
    ...ruleActions.map((action) => `action.rule.${action}`),
  ]
  expect(keys.filter((key) => !english.has(key))).toEqual([])
})

it('knows every message that the components name', () => {
  const missing = sourceFiles(source).flatMap((file) =>
    Array.from(readFileSync(file, 'utf8').matchAll(/\b(?:t|translate)\('([a-zA-Z0-9.-]+)'/g), (match) => match[1]!).filter((key) => !english.has(key)),
  )
  expect(missing).toEqual([])
})

it.each([[1, 0], [2, 1], [5, 2], [11, 2], [12, 2], [21, 0], [22, 1], [111, 2], [112, 2], [122, 1], [0, 2]])(
  'counts %i in Russian by form %i',
  (count, form) => {
    expect(russianPlural(count, 3)).toBe(form)
  },
)

function flattened(messages: object, prefix = ''): Map<string, string> {
  return new Map(
    Object.entries(messages).flatMap(([key, value]): [string, string][] =>
      typeof value === 'string' ? [[prefix + key, value]] : [...flattened(value as object, `${prefix}${key}.`)],
    ),
  )
}

function placeholders(text: string): string[] {
  return [...new Set(Array.from(text.matchAll(/\{(\w+)\}/g), (match) => match[1]!))].sort()
}

function sourceFiles(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return sourceFiles(path)
    return /\.(vue|ts)$/.test(entry.name) && !entry.name.endsWith('.test.ts') ? [path] : []
  })
}
