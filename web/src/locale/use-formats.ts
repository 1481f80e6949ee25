/** Figures and times as this reader wants them: language, zone and the tenant's unit applied. */
import { computed } from 'vue'
import { useI18n } from 'vue-i18n'
import { useSession } from '../api/use-session.ts'
import { usePageState } from '../frame/page-state.ts'
import { exactCountText, shortByteText, unitByteText, type Octets } from '../quantity/byte-text.ts'
import { createTimeText, durationText } from '../time/time-text.ts'

export function useFormats() {
  const { locale } = useI18n()
  const { timeZone } = usePageState()
  const { unitBytes } = useSession().currentSession()
  /** English readers of a mail log expect 24 Nov, not Nov 24: day first as in the log of every MTA. */
  const dateLocale = computed(() => (locale.value === 'en' ? 'en-GB' : locale.value))
  const times = computed(() => createTimeText(dateLocale.value, timeZone.value))
  const weights = computed(() => new Intl.NumberFormat(locale.value, { maximumFractionDigits: 3 }))
  const signed = computed(
    () => new Intl.NumberFormat(locale.value, { maximumFractionDigits: 3, signDisplay: 'exceptZero' }),
  )
  /** A calendar day or month as the report names it: no zone may move it. */
  const calendar = (options: Intl.DateTimeFormatOptions, iso: string) =>
    new Intl.DateTimeFormat(dateLocale.value, { timeZone: 'UTC', ...options }).format(new Date(iso))
  return {
    times,
    calendarDay: (day: string) => calendar({ weekday: 'short', day: 'numeric', month: 'short' }, `${day}T12:00:00Z`),
    calendarMonth: (label: string) => calendar({ month: 'long', year: 'numeric' }, `${label}-15T12:00:00Z`),
    shortBytes: (octets: Octets) => shortByteText(locale.value, octets, unitBytes),
    unitBytes: (octets: Octets) => unitByteText(locale.value, octets, unitBytes),
    count: (count: Octets) => exactCountText(locale.value, count),
    weight: (weight: number) => weights.value.format(weight),
    weightChange: (weight: number) => signed.value.format(weight),
    duration: (us: number) => durationText(locale.value, us),
  }
}
