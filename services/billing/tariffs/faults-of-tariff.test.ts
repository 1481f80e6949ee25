import { expect, it } from 'vitest'
import { faultsOfTariff } from './faults-of-tariff.ts'

const good = { name: 'A', currency: 'EUR', components: [{ kind: 'flat', amount: '1.50' }] }

it.each([
  [good, []],
  [[], ['A tariff has name, currency and components']],
  [{ ...good, components: [] }, ['components: is no list of at least one component']],
  [{ ...good, components: [{ kind: 'flatt', amount: '1' }] }, ['components[0].kind: is "flatt": write one of flat, per-unit, graduated, volume, package, minimum']],
  [{ ...good, components: [{ kind: 'flat', amount: 1.5 }] }, ['components[0].amount: write 1.5 in quotes, so that no digit is lost']],
  [{ ...good, components: [{ kind: 'flat', amount: '1', prize: '2' }] }, ['components[0]: there is no prize here']],
  [{ ...good, currency: 'eur' }, [expect.stringMatching(/^currency: /)]],
  [{ ...good, components: [{ kind: 'volume', tiers: [{ upto: '5', price: '1' }] }] }, ['components[0].tiers[0].upto is not null: the last tier has no upper end']],
  [{ ...good, components: [{ kind: 'per-unit', price: '-1' }] }, [expect.stringMatching(/^components\[0\]\.price: /)]],
])('names the place and the remedy: %#', (tariff, faults) => {
  expect(faultsOfTariff(tariff)).toEqual(faults)
})
