import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { moneyText } from '../../contracts/money.ts'
import { tariffFaults, type TariffComponent, type TariffDefinition } from '../../contracts/tariff.ts'
import { decimal, fraction, fractionText, plus, rounded, times, zero } from './fraction.ts'
import { rateUsage, type RatedSpan, type RatedUsage } from './rate-usage.ts'

const unitBytes = 1_000_000
const mega = 1_000_000n

const tariff = (components: TariffComponent[], more: Partial<TariffDefinition> = {}): TariffDefinition => ({ name: 'A', currency: 'EUR', components, ...more })
const span = (definition: TariffDefinition, inbound: bigint, more: Partial<RatedSpan> = {}): RatedSpan => ({
  tariffId: 'a', version: 1, definition, days: 30, quantities: { inbound, outbound: 0n }, ...more,
})
const rate = (spans: RatedSpan[], currency = 'EUR'): RatedUsage => rateUsage({ currency, unitBytes, periodDays: 30, spans })
const amounts = ({ lines }: RatedUsage): string[] => lines.map(({ amountMinor }) => moneyText(amountMinor, 2))

const tiers = [{ upto: '100', price: '0.10' }, { upto: '1000', price: '0.05' }, { upto: null, price: '0.01' }]

describe('worked examples', () => {
  it.each([
    ['within the first', 50n * mega, ['5.00']],
    ['at the end of the first, which belongs to it', 100n * mega, ['10.00']],
    ['an octet behind it: too little for a cent', 100n * mega + 1n, ['10.00', '0.00']],
    ['at the end of the second', 1_000n * mega, ['10.00', '45.00']],
    ['in the third', 1_500n * mega, ['10.00', '45.00', '5.00']],
  ])('three tiers, graduated: %s', (_where, octets, expected) => {
    expect(amounts(rate([span(tariff([{ kind: 'graduated', tiers }]), octets)]))).toEqual(expected)
  })

  it.each([
    ['at the end of the first, which belongs to it', 100n * mega, '10.00'],
    ['an octet behind it: all of it is cheaper', 100n * mega + 1n, '5.00'],
    ['at the end of the second', 1_000n * mega, '50.00'],
    ['in the third', 1_500n * mega, '15.00'],
  ])('three tiers, volume: %s', (_where, octets, expected) => {
    expect(amounts(rate([span(tariff([{ kind: 'volume', tiers }]), octets)]))).toEqual([expected])
  })

  it.each([
    ['nothing beyond what is included', 500n * mega, '0', '0.00'],
    ['an octet beyond starts a package', 500n * mega + 1n, '1', '4.00'],
    ['a whole package', 600n * mega, '1', '4.00'],
    ['an octet more starts the next', 600n * mega + 1n, '2', '8.00'],
  ])('packages of 100 MB beyond 500: %s', (_what, octets, started, expected) => {
    const { lines } = rate([span(tariff([{ kind: 'package', included: '500', size: '100', price: '4' }]), octets)])
    expect(lines.map(({ count, amountMinor }) => [fractionText(count), moneyText(amountMinor, 2)])).toEqual([[started, expected]])
  })

  it('a new version at the 11th of 30 days: each is rated on its own quantity, what is fixed by days over days', () => {
    const components = (fee: string): TariffComponent[] => [{ kind: 'flat', amount: fee }, { kind: 'graduated', tiers }]
    const result = rate([
      span(tariff(components('30')), 50n * mega, { days: 10 }),
      span(tariff(components('60')), 50n * mega, { days: 20, version: 2 }),
    ])
    // The first tier ends at 33 1/3 MB for ten days, at 66 2/3 for twenty.
    expect(result.lines.map(({ version, kind, tier, quantity, amountMinor }) =>
      [version, kind, tier, quantity === null ? null : fractionText(quantity), moneyText(amountMinor, 2)])).toEqual([
      [1, 'flat', null, null, '10.00'],
      [1, 'graduated', 0, '100000000/3', '3.33'],
      [1, 'graduated', 1, '50000000/3', '0.83'],
      [2, 'flat', null, null, '40.00'],
      [2, 'graduated', 0, '50000000', '5.00'],
    ])
    expect(moneyText(result.totalMinor, 2)).toBe('59.16')
  })

  it('a minimum of 25 is topped up in a line of its own, to the cent', () => {
    const components: TariffComponent[] = [{ kind: 'minimum', amount: '25' }, { kind: 'per-unit', price: '0.0333' }]
    expect(amounts(rate([span(tariff(components), 100n * mega)]))).toEqual(['3.33', '21.67'])
    expect(amounts(rate([span(tariff(components), 751n * mega)]))).toEqual(['25.01'])
    expect(amounts(rate([span(tariff(components), 0n)]))).toEqual(['25.00'])
  })

  it('tax is rounded once for a rate, and shared by largest remainder, of equal ones to the first line', () => {
    const flat = (amount: string, taxPercent?: string): TariffComponent => ({ kind: 'flat', amount, ...(taxPercent === undefined ? {} : { taxPercent }) })
    const result = rate([span(tariff([flat('0.10'), flat('0.10'), flat('0.10'), flat('1', '7')], { taxPercent: '19' }), 0n)])
    // 19 % of 0.30 are 5.7 cents: 6, two for each line.
    expect(result.taxes.map(({ percent, netMinor, taxMinor }) => [percent, netMinor, taxMinor])).toEqual([['19', 30n, 6n], ['7', 100n, 7n]])
    expect(result.lines.map(({ taxMinor }) => taxMinor)).toEqual([2n, 2n, 2n, 7n])
    const uneven = rate([span(tariff([flat('0.05'), flat('0.05'), flat('0.05')], { taxPercent: '19' }), 0n)])
    // 19 % of 0.15 are 2.85 cents: 3.
    expect([uneven.taxMinor, uneven.lines.map(({ taxMinor }) => taxMinor)]).toEqual([3n, [1n, 1n, 1n]])
    const two = rate([span(tariff([flat('0.07'), flat('0.07'), flat('0.07')], { taxPercent: '19' }), 0n)])
    // 3.99 cents: 4. A third each is 1.33; the first line gets what is left.
    expect([two.taxMinor, two.lines.map(({ taxMinor }) => taxMinor)]).toEqual([4n, [2n, 1n, 1n]])
    const unlike = rate([span(tariff([flat('0.02'), flat('0.10'), flat('0.05')], { taxPercent: '19' }), 0n)])
    // 3 cents, of which 0.35, 1.76 and 0.88 belong to the lines: the remainders 0.88 and 0.76 come before 0.35.
    expect([unlike.taxMinor, unlike.lines.map(({ taxMinor }) => taxMinor)]).toEqual([3n, [0n, 2n, 1n]])
  })

  it.each([
    ['JPY', '0.5', 1n],
    ['JPY', '0.4999', 0n],
    ['EUR', '0.125', 13n],
    ['EUR', '0.135', 14n],
    ['KWD', '0.0005', 1n],
    ['KWD', '0.0015', 2n],
  ])('%s: %s is rounded half away from zero to its minor unit', (currency, amount, minor) => {
    expect(rate([span(tariff([{ kind: 'flat', amount }], { currency }), 0n)], currency).netMinor).toBe(minor)
  })

  it('outbound costs nothing unless the tariff says so', () => {
    const quantities = { inbound: 3n * mega, outbound: 7n * mega }
    const components: TariffComponent[] = [
      { kind: 'per-unit', price: '1' }, { kind: 'per-unit', direction: 'outbound', price: '2' }, { kind: 'per-unit', direction: 'both', price: '10' },
    ]
    expect(rate([span(tariff(components), 0n, { quantities })]).lines.map(({ direction, amountMinor }) => [direction, amountMinor])).toEqual([
      ['inbound', 300n], ['outbound', 1400n], ['both', 10_000n],
    ])
    expect(amounts(rate([span(tariff([{ kind: 'per-unit', price: '1' }]), 0n, { quantities: { inbound: 0n, outbound: 7n } })]))).toEqual([])
  })
})

it('refuses a tariff in another currency than the period', () => {
  expect(() => rate([span(tariff([{ kind: 'flat', amount: '1' }], { currency: 'JPY' }), 0n)])).toThrow('the tariff a is in JPY, the period in EUR')
})

it('names what a schema cannot see: tiers out of order, open ones that are not the last, packages of nothing', () => {
  const faultsOf = (component: TariffComponent): string[] => tariffFaults(tariff([component])).map(({ path, message }) => `${path} ${message}`)
  expect(faultsOf({ kind: 'graduated', tiers: [{ upto: '10', price: '1' }, { upto: '9.99', price: '1' }, { upto: '20', price: '1' }] })).toEqual([
    'components[0].tiers[1].upto is 9.99: write more than 10, where the tier before it ends',
    'components[0].tiers[2].upto is not null: the last tier has no upper end',
  ])
  expect(faultsOf({ kind: 'volume', tiers: [{ upto: null, price: '1' }, { upto: null, price: '2' }] })).toEqual([
    'components[0].tiers[0].upto is null: only the last tier has no upper end',
  ])
  expect(faultsOf({ kind: 'package', included: '0', size: '0.0', price: '1' })).toEqual(['components[0].size is 0: write how many units a package holds'])
  expect(tariffFaults(tariff([{ kind: 'minimum', amount: '1' }, { kind: 'minimum', amount: '2' }])).map(({ path }) => path)).toEqual(['components[1]'])
  expect(faultsOf({ kind: 'graduated', tiers })).toEqual([])
})

describe('whatever the tariff', () => {
  const price = fc.integer({ min: 0, max: 99_999 }).map((value) => `${Math.floor(value / 1_000)}.${String(value % 1_000).padStart(3, '0')}`)
  const direction = fc.constantFrom('inbound' as const, 'outbound' as const, 'both' as const)
  const taxPercent = fc.constantFrom('0', '7', '7.7', '19', '19.0', '20')
  const ends = fc.uniqueArray(fc.integer({ min: 1, max: 5_000 }), { maxLength: 3 }).map((values) => values.sort((a, b) => a - b))
  const tiersOf = fc.tuple(ends, fc.array(price, { minLength: 4, maxLength: 4 }))
    .map(([values, prices]) => [...values.map((upto, index) => ({ upto: String(upto), price: prices[index]! })), { upto: null, price: prices[3]! }])
  const component: fc.Arbitrary<TariffComponent> = fc.oneof(
    fc.record({ kind: fc.constant('flat' as const), amount: price, taxPercent }),
    fc.record({ kind: fc.constant('per-unit' as const), direction, price, taxPercent }),
    fc.record({ kind: fc.constant('graduated' as const), direction, tiers: tiersOf, taxPercent }),
    fc.record({ kind: fc.constant('volume' as const), direction, tiers: tiersOf, taxPercent }),
    fc.record({ kind: fc.constant('package' as const), direction, included: price, size: fc.constantFrom('1', '10', '0.5'), price, taxPercent }),
  )
  const octets = fc.bigInt({ min: 0n, max: 10_000n * mega })
  const quantities = fc.record({ inbound: octets, outbound: octets })
  const minimum = fc.option(price.map((amount): TariffComponent => ({ kind: 'minimum', amount })), { nil: undefined })
  const definition = fc.tuple(fc.array(component, { minLength: 1, maxLength: 5 }), minimum)
    .map(([components, least]) => tariff(least === undefined ? components : [...components, least], { taxPercent: '19' }))

  it('the total is the sum of its lines, net and tax, and each line is rounded by itself', () => {
    fc.assert(fc.property(definition, quantities, fc.integer({ min: 1, max: 29 }), (of, amount, days) => {
      const result = rate([span(of, 0n, { quantities: amount, days }), span(of, 0n, { quantities: amount, days: 30 - days, version: 2 })])
      const sum = (values: bigint[]): bigint => values.reduce((total, value) => total + value, 0n)
      expect(result.netMinor).toBe(sum(result.lines.map(({ amountMinor }) => amountMinor)))
      expect(result.taxMinor).toBe(sum(result.lines.map(({ taxMinor }) => taxMinor)))
      expect(result.taxMinor).toBe(sum(result.taxes.map(({ taxMinor }) => taxMinor)))
      expect(result.totalMinor).toBe(result.netMinor + result.taxMinor)
      for (const { amount: exact, amountMinor } of result.lines) expect(amountMinor).toBe(rounded(times(exact, fraction(100n))))
      for (const { percent, netMinor, taxMinor } of result.taxes) {
        expect(taxMinor).toBe(rounded(times(fraction(netMinor), times(decimal(percent), fraction(1n, 100n)))))
        const own = result.lines.filter((line) => Number(line.taxPercent) === Number(percent))
        // Within a whole minor unit of the exact share, to either side.
        for (const line of own) {
          const off = line.taxMinor * netMinor - taxMinor * line.amountMinor
          expect(netMinor === 0n || (off < netMinor && off > -netMinor)).toBe(true)
        }
      }
    }))
  })

  it('the tiers of a graduated price hold the whole quantity, each octet once', () => {
    fc.assert(fc.property(tiersOf, octets, fc.integer({ min: 1, max: 30 }), (of, amount, days) => {
      const { lines } = rate([span(tariff([{ kind: 'graduated', tiers: of }]), amount, { days })])
      expect(fractionText(lines.map(({ quantity }) => quantity!).reduce(plus, zero))).toBe(String(amount))
    }))
  })

  it('a graduated price never jumps: one octet more costs at most the dearest octet', () => {
    fc.assert(fc.property(tiersOf, octets, (of, amount) => {
      const exact = (quantity: bigint) => rate([span(tariff([{ kind: 'graduated', tiers: of }]), quantity)]).lines.map((line) => line.amount).reduce(plus, zero)
      const dearest = of.map((tier) => decimal(tier.price)).reduce((most, one) => (most.numerator * one.denominator < one.numerator * most.denominator ? one : most))
      const [less, more] = [exact(amount), exact(amount + 1n)]
      const step = plus(more, { numerator: -less.numerator, denominator: less.denominator })
      expect(step.numerator * dearest.denominator * mega <= dearest.numerator * step.denominator && step.numerator >= 0n).toBe(true)
    }))
  })

  it('two equal versions come to the same exact amount per unit and flat as one over the whole period', () => {
    fc.assert(fc.property(price, price, octets, octets, fc.integer({ min: 1, max: 29 }), (fee, perUnit, first, second, days) => {
      const of = tariff([{ kind: 'flat', amount: fee }, { kind: 'per-unit', price: perUnit }])
      const exact = (spans: RatedSpan[]) => fractionText(rate(spans).lines.map((line) => line.amount).reduce(plus, zero))
      expect(exact([span(of, first, { days }), span(of, second, { days: 30 - days, version: 2 })])).toBe(exact([span(of, first + second)]))
    }))
  })

  it('never comes to less than the minimum, nor to more where the others reach it', () => {
    fc.assert(fc.property(fc.array(component, { minLength: 1, maxLength: 4 }), price, quantities, (components, least, amount) => {
      const without = rate([span(tariff(components), 0n, { quantities: amount })]).netMinor
      const within = rate([span(tariff([{ kind: 'minimum', amount: least }, ...components]), 0n, { quantities: amount })]).netMinor
      const leastMinor = rounded(times(decimal(least), fraction(100n)))
      expect(within).toBe(without > leastMinor ? without : leastMinor)
    }))
  })
})
