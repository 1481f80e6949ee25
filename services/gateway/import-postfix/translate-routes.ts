/** Next hops: transport_maps, relayhost and the transports of the address classes, as routes. */
import { ImportReport, type Place } from './import-report.ts'
import type { MainCf } from './read-main-cf.ts'
import { mapEntries } from './translate-addresses.ts'

export type Route = { domain: string; host?: string; mx?: boolean; port?: number; tls: 'off' | 'may' | 'must' }

export function translateRoutes(
  main: MainCf,
  domains: readonly string[],
  place: (name: string) => Place,
  folder: string,
  report: ImportReport,
): Route[] {
  const tls = tlsOf(main)
  const routes = new Map<string, Route>()
  const add = (domain: string, nextHop: string, here: Place): boolean => {
    const hop = hopOf(nextHop)
    if (hop === null) return false
    routes.set(domain, { domain, ...hop, tls })
    report.translated(here, `a route of ${domain === '*' ? 'all other domains' : domain}`)
    return true
  }
  for (const { key, value, file, line } of mapEntries(main.value('transport_maps'), place('transport_maps'), folder, report)) {
    const here = { file, line, subject: `${key} ${value}` }
    const domain = key.toLowerCase()
    if (key.includes('@') || key.startsWith('.')) report.left(here, 'A route is for one exact domain, or `*`: write one for each domain that is meant.')
    else if (routes.has(domain)) report.irrelevant(here, 'the domain stands before in the tables, and the first one counts')
    else if (!add(domain, value, here)) report.left(here, `Mail is handed on by SMTP alone: write a route of ${domain} to a server that takes it.`)
  }
  const rest = main.value('relayhost')
  if (!routes.has('*')) {
    if (rest === '') routes.set('*', { domain: '*', mx: true, tls })
    else add('*', `smtp:${rest}`, place('relayhost'))
  }
  for (const [name, classOf] of [['relay_transport', 'relay_domains'], ['virtual_transport', 'virtual_mailbox_domains']] as const) {
    const value = main.value(name)
    if (value === '' || value === 'relay' || value === 'smtp') continue
    const of = main.value(classOf).toLowerCase().split(/[\s,]+/)
    const open = domains.filter((domain) => of.includes(domain) && !routes.has(domain))
    if (open.length > 0 && hopOf(value) === null) report.left(place(name), `Mail is handed on by SMTP alone: write routes of ${open.join(', ')} to a server that takes it.`)
    else for (const domain of open) add(domain, value, place(name))
  }
  return [...routes.values()]
}

/** `smtp:[host]:port` goes to the host, `smtp:host` to its mail servers, `smtp:` to those of the recipient's domain. */
function hopOf(value: string): Omit<Route, 'domain' | 'tls'> | null {
  const [, rest] = /^(?:smtp|relay)?:(\S*)$/.exec(value) ?? []
  if (rest === undefined) return null
  if (rest === '') return { mx: true }
  const [, direct, named, port] = /^(?:\[([^\]]+)\]|([^:\[\]\s]+))(?::(\d{1,5}|smtp))?$/.exec(rest) ?? []
  if (direct === undefined && named === undefined) return null
  const number = port === undefined || port === 'smtp' ? {} : { port: Number(port) }
  return direct !== undefined ? { host: direct.replace(/^ipv6:/i, ''), ...number } : { host: named!, mx: true, ...number }
}

function tlsOf(main: MainCf): Route['tls'] {
  const level = main.value('smtp_tls_security_level')
  if (level === '') return main.value('smtp_enforce_tls') === 'yes' ? 'must' : main.value('smtp_use_tls') === 'yes' ? 'may' : 'off'
  return level === 'none' ? 'off' : ['may', 'dane'].includes(level) ? 'may' : 'must'
}
