/**
 * State that is shared by pages and lives in the URL: query, range, zone. A pasted link shows the same (UI.md).
 *
 * Why  a choice made once (the zone) must follow to the next page, so links are built here and carry it.
 */
import { computed } from 'vue'
import { useRoute, useRouter, type LocationQueryRaw, type RouteLocationRaw } from 'vue-router'
import { useSession } from '../api/use-session.ts'
import { isSameRange, defaultRange, rangeFrom, rangeText, type TimeRange } from '../time/time-range.ts'

export const zones = ['local', 'utc', 'tenant'] as const
export type Zone = (typeof zones)[number]

const zoneKey = 'tollgate.zone'

export function usePageState() {
  const route = useRoute()
  const router = useRouter()
  const tenantZone = useSession().currentSession().timeZone

  const query = computed(() => textOf(route.query.q))
  const range = computed(() => rangeFrom(route.query.range))
  const zone = computed<Zone>(() => {
    const named = textOf(route.query.zone) || (localStorage.getItem(zoneKey) ?? '')
    return (zones as readonly string[]).includes(named) ? (named as Zone) : 'local'
  })
  const timeZone = computed(() => timeZoneOf(zone.value, tenantZone))

  /** Changes some parameters of this page's URL; `null` takes one away. */
  function change(changes: Record<string, string | null>, how: 'push' | 'replace' = 'push'): void {
    const next: LocationQueryRaw = { ...route.query }
    for (const [name, value] of Object.entries(changes)) {
      if (value === null || value === '') delete next[name]
      else next[name] = value
    }
    void router[how]({ path: route.path, query: next })
  }

  function setRange(next: TimeRange): void {
    change({ range: isSameRange(next, defaultRange) ? null : rangeText(next), open: null })
  }

  function setZone(next: Zone): void {
    localStorage.setItem(zoneKey, next)
    change({ zone: next }, 'replace')
  }

  function carried(withRange: TimeRange = range.value): LocationQueryRaw {
    return {
      ...(isSameRange(withRange, defaultRange) ? {} : { range: rangeText(withRange) }),
      ...(route.query.zone === undefined ? {} : { zone: route.query.zone }),
    }
  }

  /** The door behind a number: the messages of this query. */
  function traceDoor(q: string, withRange: TimeRange = range.value): RouteLocationRaw {
    return { name: 'trace', query: { ...(q === '' ? {} : { q }), ...carried(withRange) } }
  }

  function pageDoor(name: 'overview' | 'trace' | 'usage'): RouteLocationRaw {
    const isShort = 'preset' in range.value && range.value.preset !== '365d'
    return { name, query: carried(name !== 'overview' || isShort ? range.value : defaultRange) }
  }

  function messageDoor(id: string): RouteLocationRaw {
    return { name: 'message', params: { id }, query: carried() }
  }

  /** This page as a link that shows the same to a colleague in another time zone. */
  function shareUrl(): string {
    const url = new URL(window.location.href)
    if (zone.value !== 'local') url.searchParams.set('zone', zone.value)
    return url.href
  }

  return { query, range, zone, timeZone, change, setRange, setZone, traceDoor, pageDoor, messageDoor, shareUrl }
}

export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function timeZoneOf(zone: Zone, tenantZone: string): string {
  if (zone === 'utc') return 'UTC'
  return zone === 'tenant' ? tenantZone : Intl.DateTimeFormat().resolvedOptions().timeZone
}
