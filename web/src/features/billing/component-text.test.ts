import { expect, it } from 'vitest'
import { createI18n } from 'vue-i18n'
import { tariffComponentKinds, type TariffComponent } from '../../../../services/contracts/tariff.ts'
import { en } from '../../locale/en.ts'
import { componentSentences } from './component-text.ts'
import { decimalText, priceText } from './exact-text.ts'

const { t } = createI18n({ legacy: false, locale: 'en', messages: { en } }).global
const words = {
  t: (key: string, values: Record<string, string>) => t(key, values),
  price: (amount: string) => priceText('en', amount, 'EUR'),
  decimal: (decimal: string) => decimalText('en', decimal),
  unit: 'MB',
}
const tiers = [{ upto: '100', price: '0.10' }, { upto: null, price: '0.01' }]
const samples: { [Kind in TariffComponent['kind']]: [TariffComponent, string[]] } = {
  flat: [{ kind: 'flat', amount: '12' }, ['€12.00 a month']],
  'per-unit': [{ kind: 'per-unit', price: '0.005' }, ['€0.005 for each MB of incoming mail']],
  graduated: [
    { kind: 'graduated', direction: 'both', tiers },
    ['incoming and outgoing mail by tiers, each tier at its own price:', 'over 0 MB up to 100 MB: €0.10 for each MB', 'over 100 MB: €0.01 for each MB'],
  ],
  volume: [
    { kind: 'volume', direction: 'outbound', tiers },
    ['outgoing mail by volume, the whole quantity at the price of the tier that it reaches:', 'over 0 MB up to 100 MB: €0.10 for each MB', 'over 100 MB: €0.01 for each MB'],
  ],
  package: [
    { kind: 'package', included: '50', size: '25', price: '1.5' },
    ['50 MB of incoming mail are included, then €1.50 for each 25 MB begun'],
  ],
  minimum: [{ kind: 'minimum', amount: '25' }, ['at least €25.00 a month in all']],
}

it.each(tariffComponentKinds)('says in words what the component %s charges', (kind) => {
  const [component, sentences] = samples[kind]
  expect(componentSentences(component, words)).toEqual(sentences)
})
