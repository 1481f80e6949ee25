/** What the billing pages share: money in the reader's language, and what the role may see and do. */
import { computed } from 'vue'
import { useI18n } from 'vue-i18n'
import { useRoute, type RouteLocationRaw } from 'vue-router'
import { useSession } from '../../api/use-session.ts'
import { createTimeText } from '../../time/time-text.ts'
import { changeText, decimalText, fractionDecimal, moneyText, priceText } from './exact-text.ts'

type Span = { from: string; upto: string; timeZone: string }

export function useBilling() {
  const { locale, t } = useI18n()
  const route = useRoute()
  const { role } = useSession().currentSession()
  const zone = computed(() => (route.query.zone === undefined ? {} : { zone: route.query.zone }))
  return {
    money: (amount: string, currency: string) => moneyText(locale.value, amount, currency),
    change: (amount: string, currency: string) => changeText(locale.value, amount, currency),
    price: (amount: string, currency: string) => priceText(locale.value, amount, currency),
    decimal: (decimal: string) => decimalText(locale.value, decimal),
    fraction: (exact: string) => decimalText(locale.value, fractionDecimal(exact, 3)),
    /** A month begins and ends by the clock of its own zone, whatever zone the reader has chosen. */
    span: ({ from, upto, timeZone: zone }: Span) => {
      const times = createTimeText(locale.value === 'en' ? 'en-GB' : locale.value, zone)
      return t('billing.periods.from', { from: times.row(from), upto: times.row(upto), zone })
    },
    /** The API decides; what it would refuse is not offered. */
    mayAct: role === 'admin' || role === 'accountant',
    isClient: role === 'client',
    door: (name: string, params: Record<string, string> = {}, query: Record<string, string> = {}): RouteLocationRaw => ({
      name, params, query: { ...query, ...zone.value },
    }),
  }
}
