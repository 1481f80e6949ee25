/** What settings must satisfy beyond type and range: networks, domains, time zones, addresses, and one another. */
import { isIP } from 'node:net'
import { cidrFault, isEveryAddress } from './cidr-fault.ts'
import type { Config } from './config.ts'
import type { Fault } from './fault.ts'
import type { Place } from './read-node.ts'
import { parseSocketAddress } from './socket-address.ts'

type Report = (field: string, message: string, remedy: string) => void

/** Every field may be missing here: a setting that is wrong in itself was left out and reported before. */
export function configFaults(config: Config, placeOf: (field: string) => Place): Fault[] {
  const faults: Fault[] = []
  const report: Report = (field, message, remedy) => faults.push({ ...placeOf(field), field, message, remedy })
  checkAddresses(config, report)
  checkDomains(config, report)
  checkChecks(config, report)
  checkPlugins(config, report)
  checkNetworks(config, report)
  checkRoutes(config, report)
  checkPolicy(config, report)
  checkBilling(config, report)
  checkExports(config, report)
  checkRetention(config, report)
  return faults
}

function checkPolicy({ policy }: Config, report: Report): void {
  if (policy?.url === undefined || policy.token !== undefined) return
  report('policy.url', 'needs a token', 'Set policy.token (or TOLLGATE_POLICY_TOKEN) to the one of the api there')
}

function checkAddresses(config: Config, report: Report): void {
  const { smtp } = config
  const lists = [
    ['smtp.listen', smtp?.listen],
    ['smtp.listenTls', smtp?.listenTls],
    ['smtp.submission.listen', smtp?.submission?.listen],
    ['smtp.submission.listenTls', smtp?.submission?.listenTls],
  ] as const
  const listen: string[] = []
  for (const [name, addresses = []] of lists) {
    for (const [index, text] of addresses.entries()) {
      const field = `${name}[${index}]`
      checkSocketAddress(text, field, report)
      if (listen.includes(text) && !text.endsWith(':0')) report(field, `${text} stands in the list twice`, 'Remove one of the two')
      listen.push(text)
    }
    if (addresses.length > 0 && name !== 'smtp.listen' && smtp?.tls === undefined) {
      report(name, 'needs a certificate', 'Add "tls" with "certificate" and "key" to "smtp"')
    }
    if (addresses.length > 0 && name.startsWith('smtp.submission') && smtp?.users === undefined) {
      report(name, 'needs somebody who may log in', 'Add "users" with the file of them to "smtp"')
    }
  }
  for (const [index, { listener, cidrs }] of (smtp?.proxyFrom ?? []).entries()) {
    const field = `smtp.proxyFrom[${index}]`
    if (listener !== undefined && !listen.includes(listener)) {
      report(`${field}.listener`, `${listener} is not listened on`, 'Write an address of smtp.listen, listenTls or submission, as it stands there')
    }
    for (const [position, cidr] of (cidrs ?? []).entries()) {
      const fault = cidrFault(cidr)
      if (fault !== null) report(`${field}.cidrs[${position}]`, fault.message, fault.remedy)
      else if (isEveryAddress(cidr)) {
        report(`${field}.cidrs[${position}]`, `${cidr} is every address there is, so anybody could say to be anybody`, 'List only your own proxies')
      }
    }
  }
  const http = config.http?.listen
  if (http === undefined) return
  checkSocketAddress(http, 'http.listen', report)
  if (listen.includes(http) && !http.endsWith(':0')) {
    report('http.listen', `${http} is an address of smtp.listen as well`, 'Give one of the two another port')
  }
}

function checkSocketAddress(text: string, field: string, report: Report): void {
  const address = parseSocketAddress(text)
  if (address === null) {
    report(field, `"${text}" is no address to listen on`, 'Write address and port, like 127.0.0.1:2525 or [::1]:2525, with a port up to 65535')
  } else if (/^[\d.]+$/.test(address.host) && isIP(address.host) === 0) {
    report(field, `"${address.host}" is no IP address`, 'Write four numbers up to 255 with dots between them')
  } else if (address.host.includes(':') && isIP(address.host) !== 6) {
    report(field, `"${address.host}" is no IPv6 address`, 'Write it like [2001:db8::1]:2525')
  }
}

const domainPattern = /^(?=.{1,253}$)[\p{L}\p{N}](?:[\p{L}\p{N}_-]{0,61}[\p{L}\p{N}])?(?:\.[\p{L}\p{N}_](?:[\p{L}\p{N}_-]{0,61}[\p{L}\p{N}])?)*$/u
const domainRemedy = 'Write a domain like example.org, without scheme, wildcard or dot at either end'

function checkDomains(config: Config, report: Report): void {
  const seen = new Set<string>()
  for (const [index, domain] of (config.recipients?.domains ?? []).entries()) {
    const field = `recipients.domains[${index}]`
    const lower = domain.toLowerCase()
    if (domain.includes('*')) {
      report(field, `"${domain}" has a wildcard, and a subdomain is another domain`, 'List each domain by its full name')
    } else if (!domainPattern.test(domain)) report(field, `"${domain}" is no domain`, domainRemedy)
    if (seen.has(lower)) report(field, `${domain} stands in the list twice`, 'Remove one of the two')
    seen.add(lower)
  }
  const hostname = config.smtp?.hostname
  if (hostname !== undefined && !domainPattern.test(hostname)) {
    report('smtp.hostname', `"${hostname}" is no host name`, 'Write the full name of this machine, like mx1.example.org')
  }
}

function checkChecks(config: Config, report: Report): void {
  for (const [index, text] of (config.checks?.dns?.servers ?? []).entries()) {
    if (isNameServer(text)) continue
    report(
      `checks.dns.servers[${index}]`,
      `"${text}" is no address of a name server`,
      'Write its address, with a port where that is not 53, like 192.0.2.53, 127.0.0.1:5353 or [2001:db8::53]:53',
    )
  }
  for (const kind of ['dnsLists', 'rates'] as const) {
    const names = (config.checks?.[kind] ?? []).map(({ name }) => name)
    for (const [index, name] of names.entries()) {
      if (name === undefined || names.indexOf(name) === index) continue
      report(`checks.${kind}[${index}].name`, `another one is called "${name}" too`, 'Give each a name of its own')
    }
  }
  for (const [index, { zone }] of (config.checks?.dnsLists ?? []).entries()) {
    if (zone === undefined || domainPattern.test(zone)) continue
    report(`checks.dnsLists[${index}].zone`, `"${zone}" is no domain`, domainRemedy)
  }
  for (const [index, { by, counts }] of (config.checks?.rates ?? []).entries()) {
    if (by !== 'recipient' || counts !== 'bytes') continue
    report(`checks.rates[${index}].counts`, 'octets of one recipient are known too late', 'Count messages, or octets by sender')
  }
  const { delaySeconds = 0, retryHours = Infinity } = config.checks?.greylist ?? {}
  if (delaySeconds >= retryHours * 3_600) {
    report('checks.greylist.retryHours', 'ends before the delay is over', 'Make it longer than delaySeconds')
  }
}

function checkPlugins(config: Config, report: Report): void {
  const seen = new Set<string>()
  for (const [kind, entries] of Object.entries(config.plugins ?? {})) {
    for (const [index, { name }] of (entries ?? []).entries()) {
      if (name === undefined) continue
      if (seen.has(name)) {
        report(`plugins.${kind}[${index}].name`, `another plug-in is called "${name}" too`, 'Give each plug-in a name of its own')
      }
      seen.add(name)
    }
  }
  for (const [index, { domain }] of (config.plugins?.clone ?? []).entries()) {
    if (domain === undefined) continue
    const field = `plugins.clone[${index}].domain`
    const isSame = (other: string | undefined): boolean => other?.toLowerCase() === domain.toLowerCase()
    if ((config.recipients?.domains ?? []).some(isSame)) {
      report(field, `mail is accepted for ${domain}, so a clone could come back`, 'Name a domain that is not in recipients.domains')
    } else if (!(config.routes ?? []).some((route) => isSame(route.domain))) {
      report(field, `there is no route for ${domain}`, `Add { domain: ${domain}, host: … } to "routes"`)
    }
  }
  for (const [index, { lists }] of (config.plugins?.content ?? []).entries()) {
    const names = (lists ?? []).map(({ name }) => name)
    for (const [position, name] of names.entries()) {
      const field = `plugins.content[${index}].lists[${position}].name`
      if (['clear', 'skipped', 'unknown'].includes(name)) report(field, `"${name}" is a result of its own`, 'Give the list another name')
      else if (name !== undefined && names.indexOf(name) < position) report(field, `another list is called "${name}" too`, 'Give each list a name of its own')
    }
  }
  for (const [index, { keep }] of (config.plugins?.archive ?? []).entries()) {
    for (const [position, { domain, rule }] of (keep ?? []).entries()) {
      if ((domain === undefined) !== (rule === undefined)) continue
      report(`plugins.archive[${index}].keep[${position}]`, 'must say which mail', 'Write either "domain" or "rule"; keepDays holds for all others')
    }
  }
}

function isNameServer(text: string): boolean {
  if (isIP(text) !== 0) return true
  const address = parseSocketAddress(text)
  return address !== null && isIP(address.host) !== 0
}

function checkNetworks(config: Config, report: Report): void {
  const names = new Set<string>()
  for (const [index, network] of (config.networks ?? []).entries()) {
    const field = `networks[${index}]`
    if (network.name !== undefined && names.has(network.name)) {
      report(`${field}.name`, `another network is called "${network.name}" too`, 'Give each network a name of its own')
    }
    names.add(network.name)
    for (const [position, cidr] of (network.cidrs ?? []).entries()) {
      const place = `${field}.cidrs[${position}]`
      const fault = cidrFault(cidr)
      if (fault !== null) report(place, fault.message, fault.remedy)
      else if (isEveryAddress(cidr) && network.class === 'trusted') {
        report(place, `${cidr} is every address there is, so anybody could relay mail through this gateway`, 'List only your own networks as trusted')
      } else if (isEveryAddress(cidr) && network.relay === true) {
        report(place, `${cidr} is every address there is, and "relay: true" would let anybody relay mail through this gateway`, 'List only your own networks, or remove "relay"')
      }
    }
  }
}

function checkRoutes(config: Config, report: Report): void {
  const seen = new Set<string>()
  for (const [index, route] of (config.routes ?? []).entries()) {
    const field = `routes[${index}]`
    if (route.domain !== undefined) {
      const domain = route.domain.toLowerCase()
      if (domain !== '*' && !domainPattern.test(domain)) {
        report(`${field}.domain`, `"${route.domain}" is no domain`, `${domainRemedy}; "*" alone stands for every other domain`)
      }
      if (seen.has(domain)) report(`${field}.domain`, `there is another route for ${route.domain}`, 'Keep one of the two')
      seen.add(domain)
    }
    if (route.host === undefined && route.mx === false) {
      report(field, 'does not say where mail goes', 'Add "host", or "mx: true" to look up where the domain takes its mail')
    }
    if (route.mx === true && config.checks?.dns?.enabled === false) {
      report(`${field}.mx`, 'needs name servers, and checks.dns.enabled is false', 'Name a host, or switch checks.dns on')
    }
    if (route.mx === true && route.host !== undefined && isIP(route.host) !== 0) {
      report(`${field}.mx`, `${route.host} is an address, which has no MX`, 'Remove "mx"')
    }
    if (route.host !== undefined && isIP(route.host) === 0 && !domainPattern.test(route.host)) {
      const withPort = /^(.+):(\d+)$/.exec(route.host)
      report(
        `${field}.host`,
        `"${route.host}" is no host`,
        withPort === null ? 'Write a host name or an IP address' : `Write "host: ${withPort[1]}" and "port: ${withPort[2]}"`,
      )
    }
  }
  const { firstRetrySeconds = 0, lastRetrySeconds = Infinity } = config.delivery ?? {}
  if (firstRetrySeconds > lastRetrySeconds) {
    report('delivery.firstRetrySeconds', `is ${firstRetrySeconds}, longer than lastRetrySeconds (${lastRetrySeconds})`, 'Make it the smaller of the two')
  }
}

function checkExports(config: Config, report: Report): void {
  const names: string[] = []
  for (const [index, { name, by, compare, format, profile, locale }] of (config.billing?.exports ?? []).entries()) {
    const field = `billing.exports[${index}]`
    if (name !== undefined && names.includes(name)) report(`${field}.name`, `"${name}" stands in the list twice`, 'Give each export a name of its own')
    if (name !== undefined) names.push(name)
    if (format === 'focus' && by !== 'client' && by !== 'recipient') report(`${field}.by`, `focus charges clients, not by ${by}`, 'Write client or recipient')
    if (format === 'focus' && compare !== undefined) report(`${field}.compare`, 'focus has no comparison', 'Leave it out, or take another format')
    if (profile !== undefined && format !== 'csv' && format !== 'focus') report(`${field}.profile`, `shapes CSV, not ${format}`, 'Leave it out, or write format: csv')
    if (locale !== undefined && Intl.NumberFormat.supportedLocalesOf([locale]).length === 0) report(`${field}.locale`, `"${locale}" is no language that is known here`, 'Write one like de, or with a country like de-CH')
  }
}

function checkBilling(config: Config, report: Report): void {
  const zone = config.billing?.timeZone
  if (zone !== undefined && !isTimeZone(zone)) {
    report('billing.timeZone', `"${zone}" is no time zone`, 'Write an IANA name like Europe/Berlin, or UTC')
  }
  if (config.database !== undefined && config.database !== 'embedded' && !URL.canParse(config.database)) {
    report('database', 'is no valid URL', 'Write it like postgres://user:password@host:5432/database, with %-escapes for special characters in the password')
  }
}

const correctableDays = 400

/** What is derived from the messages is kept at least as long as they are. */
function checkRetention(config: Config, report: Report): void {
  const forever = (days: number | undefined): number => (days === 0 ? Infinity : (days ?? 0))
  const { messageDays, totalDays, usageDays } = config.retention ?? {}
  for (const [name, days] of [['totalDays', totalDays], ['usageDays', usageDays]] as const) {
    if (days !== undefined && messageDays !== undefined && forever(days) < forever(messageDays)) {
      report(`retention.${name}`, `is ${days}, less than messageDays (${messageDays})`, 'Keep it at least as long as the messages, or write 0 for ever')
    }
  }
  if (usageDays !== undefined && forever(usageDays) < correctableDays) {
    report('retention.usageDays', `is ${usageDays}, and a period may be corrected for ${correctableDays} days`, `Write ${correctableDays} or more, or 0 for ever`)
  }
}

/** The kit imports nothing of ours, so it asks the platform itself. */
function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch (error) {
    if (error instanceof RangeError) return false
    throw error
  }
}
