/** What a component of a tariff charges, in words that a client may be told. */
import type { TariffComponent } from '../../../../services/contracts/tariff.ts'

export type ComponentWords = {
  t: (key: string, values: Record<string, string>) => string
  price: (amount: string) => string
  decimal: (decimal: string) => string
  /** `MB`, what the quantities are counted in. */
  unit: string
}

/** The first sentence says what it is; the others, one a tier, what is charged. */
export function componentSentences(component: TariffComponent, { t, price, decimal, unit }: ComponentWords): string[] {
  const quantity = (amount: string): string => `${decimal(amount)} ${unit}`
  switch (component.kind) {
    case 'flat':
    case 'minimum':
      return [t(`billing.component.${component.kind}`, { amount: price(component.amount) })]
    case 'per-unit':
      return [t('billing.component.per-unit', { price: price(component.price), unit, direction: directionOf(component, t) })]
    case 'package':
      return [
        t('billing.component.package', {
          price: price(component.price), size: quantity(component.size), included: quantity(component.included), direction: directionOf(component, t),
        }),
      ]
    case 'graduated':
    case 'volume':
      return [
        t(`billing.component.${component.kind}`, { direction: directionOf(component, t) }),
        ...component.tiers.map(({ upto, price: each }, index) => {
          const values = { price: price(each), unit, from: quantity(index === 0 ? '0' : (component.tiers[index - 1]!.upto ?? '0')) }
          return upto === null ? t('billing.component.tierAbove', values) : t('billing.component.tier', { ...values, upto: quantity(upto) })
        }),
      ]
  }
}

/** Outbound is priced only where a component says so. */
function directionOf({ direction = 'inbound' }: { direction?: string }, t: ComponentWords['t']): string {
  return t(`billing.mail.${direction}`, {})
}
