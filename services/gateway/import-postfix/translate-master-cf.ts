/** The listeners of master.cf: each `inet` service that runs smtpd or postscreen. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ImportReport } from './import-report.ts'
import { logicalLines, wordsOf, type MainCf } from './read-main-cf.ts'

const ports = new Map([['smtp', '25'], ['submission', '587'], ['smtps', '465'], ['submissions', '465']])
const usersRemedy = 'Put it under smtp.submission (listen, or listenTls where TLS comes first), with smtp.tls and smtp.users; passwords are set anew by `tollgate gateway hash-password`.'

/** Port 25 of the interfaces where there is no master.cf. */
export function listenersOf(folder: string, main: MainCf, report: ImportReport): string[] {
  const file = join(folder, 'master.cf')
  const interfaces = wordsOf(main.value('inet_interfaces'))
  const hosts = interfaces.flatMap((one) => (one === 'all' ? ['0.0.0.0'] : one === 'loopback-only' || one === 'localhost' ? ['127.0.0.1'] : one === '$myhostname' ? [] : [one]))
  if (!existsSync(file)) return hosts.map((host) => socketAddress(host, '25'))
  const listeners: string[] = []
  for (const { line, text } of logicalLines(readFileSync(file, 'utf8'))) {
    const [service = '', kind = '', , , , , , command = '', ...options] = text.split(/\s+/)
    const place = { file, line, subject: `${service} ${kind} ${command}` }
    const isLogin = options.some((option) => /smtpd_tls_wrappermode=yes|smtpd_sasl_auth_enable=yes/.test(option)) || ['submission', 'smtps', 'submissions'].includes(service)
    const overrides = options.filter((option) => option.includes('='))
    if (kind !== 'inet' || !['smtpd', 'postscreen'].includes(command)) {
      if (command === 'pipe' || command === 'spawn') report.left(place, 'Tollgate starts no programs: use a plug-in (docs/plugins.md), or a server with a route to it.')
      else report.irrelevant(place, 'a part of Postfix itself')
    } else if (isLogin) report.left(place, usersRemedy)
    else {
      const [, host, port = service] = /^(?:\[?([^\]]*?)\]?:)?([\w-]+)$/.exec(service) ?? []
      const number = ports.get(port) ?? port
      if (!/^\d+$/.test(number)) {
        report.left(place, 'Name the port by its number under smtp.listen.')
        continue
      }
      listeners.push(...(host === undefined ? hosts : [host]).map((one) => socketAddress(one, number)))
      report.translated(place, 'smtp.listen')
      if (command === 'postscreen') report.left(place, 'For early talkers set smtp.greetingDelayMs; for block lists see checks.dnsLists (docs/checks.md).')
      for (const override of overrides) report.left({ ...place, subject: `${service} -o ${override}` }, 'All listeners have the same rules: put it into main.cf and import again, or write a rule.')
    }
  }
  return listeners
}

const socketAddress = (host: string, port: string): string => `${host.includes(':') ? `[${host}]` : host}:${port}`
