import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import Value from 'typebox/value'
import { configVariables } from './config-variables.ts'
import { Config } from './config.ts'
import { faultText, type Fault } from './fault.ts'
import { configFile, readConfig } from './read-config.ts'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tollgate-config-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function faultsOf(text: string, environment: NodeJS.ProcessEnv = {}): Fault[] {
  const path = join(folder, 'tollgate.yaml')
  writeFileSync(path, text)
  const reading = readConfig(path, environment)
  return 'faults' in reading ? reading.faults : []
}

function configOf(text: string, environment: NodeJS.ProcessEnv = {}) {
  const path = join(folder, 'tollgate.yaml')
  writeFileSync(path, text)
  const reading = readConfig(path, environment)
  if ('faults' in reading) throw new Error(reading.faults.map(faultText).join('\n'))
  return reading
}

describe('a configuration that is right', () => {
  it.each([['an empty file', ''], ['a file of comments', '# nothing yet\n'], ['a file of bare group names', 'smtp:\nrecipients:\n']])(
    'runs with the defaults of the schema from %s',
    (_name, text) => {
      const { config } = configOf(text)
      const defaults = Value.Default(Config, {}) as Config
      expect(config).toEqual({ ...defaults, data: join(folder, 'data') })
    },
  )

  it('satisfies the schema after defaults were filled in, in lists too', () => {
    const { config } = configOf('routes:\n  - {domain: "*", host: mail.example.org}\nnetworks:\n  - {name: n, class: device, cidrs: [10.0.0.0/8]}\n')
    expect(Value.Check(Config, config)).toBe(true)
    expect(config.routes).toEqual([{ domain: '*', host: 'mail.example.org', mx: false, port: 25, tls: 'may' }])
    expect(config.networks[0]).toEqual({ name: 'n', class: 'device', cidrs: ['10.0.0.0/8'], relay: false })
  })

  it('takes relative paths of the file from its folder, and those of the environment from where we stand', () => {
    mkdirSync(join(folder, 'etc'), { recursive: true })
    const path = join(folder, 'etc', 'tollgate.yaml')
    writeFileSync(path, 'data: ../spooled\nrules: rules.yaml\n')
    const reading = readConfig(path, { TOLLGATE_RECIPIENTS_DIRECTORY: 'clients.yaml' })
    expect(reading).toMatchObject({
      config: { data: join(folder, 'spooled'), rules: join(folder, 'etc', 'rules.yaml'), recipients: { directory: resolve('clients.yaml') } },
    })
  })

  it('follows an anchor to the value it stands for', () => {
    const { config } = configOf('recipients:\n  domains: &mine [example.org]\nsmtp:\n  hostname: mx.example.org\n')
    expect(config.recipients.domains).toEqual(['example.org'])
    expect(configOf('tenant: &t acme\nnode: *t\n').config.node).toBe('acme')
  })

  it('reads a bare off as the word', () => {
    expect(configOf('routes:\n  - {domain: "*", host: inner, tls: off}\n').config.routes[0]!.tls).toBe('off')
  })

  it('warns of a domain without a route, and of a directory that is not there', () => {
    const { warnings } = configOf('recipients: {domains: [a.test, b.test], directory: nowhere.yaml}\nroutes:\n  - {domain: A.test, host: inner}\n')
    expect(warnings).toHaveLength(2)
    expect(warnings[0]).toContain('no route for b.test')
    expect(warnings[1]).toContain('nowhere.yaml')
  })
})

describe('a configuration with mistakes', () => {
  it('reports every one of them, with line, column, field and remedy, in the order of the file', () => {
    const faults = faultsOf('smtp:\n  limits:\n    messageBites: 5\nrecipients:\n  mode: knwon\nroutes:\n  - domain: example.org\n    port: 70000\n')
    expect(faults.map(({ line, column, field }) => ({ line, column, field }))).toEqual([
      { line: 3, column: 5, field: 'smtp.limits.messageBites' },
      { line: 5, column: 9, field: 'recipients.mode' },
      { line: 7, column: 5, field: 'routes[0]' },
      { line: 8, column: 11, field: 'routes[0].port' },
    ])
    expect(faults[0]!.remedy).toContain('"messageBytes"')
    expect(faults[1]!.remedy).toContain('"known"')
    expect(faults[3]!.remedy).toContain('from 1 to 65535')
    expect(faultText(faults[1]!)).toMatch(/tollgate\.yaml:5:9: recipients\.mode: is "knwon"\. Write one of known, domains/)
  })

  it('reports what is wrong in itself together with what is wrong between settings', () => {
    const faults = faultsOf('billing:\n  timeZone: Mars/Base\n  mode: half\nnetworks:\n  - {name: all, class: trusted, cidrs: [0.0.0.0/0]}\n')
    expect(faults.map((fault) => fault.field)).toEqual(['billing.timeZone', 'billing.mode', 'networks[0].cidrs[0]'])
  })

  // [what, text, line, field, part of message or remedy]
  const table: [string, string, number | null, string, RegExp][] = [
    ['a route to nowhere', 'routes: [{domain: "*"}]\n', 1, 'routes[0]', /mx: true/],
    ['a look-up without name servers', 'checks: {dns: {enabled: false}}\nroutes: [{domain: "*", mx: true}]\n', 2, 'routes[0].mx', /checks\.dns/],
    ['MX of an address', 'routes: [{domain: "*", host: 192.0.2.1, mx: true}]\n', 1, 'routes[0].mx', /no MX/],
    ['log-ins without TLS', 'smtp:\n  submission: {listen: ["127.0.0.1:587"]}\n  users: u.yaml\n', 2, 'smtp.submission.listen', /certificate/],
    ['log-ins of nobody', 'smtp:\n  submission: {listenTls: ["127.0.0.1:465"]}\n  tls: {certificate: a, key: b}\n', 2, 'smtp.submission.listenTls', /users/],
    ['two listeners on one address', 'smtp: {listen: ["127.0.0.1:25"], listenTls: ["127.0.0.1:25"], tls: {certificate: a, key: b}}\n', 1, 'smtp.listenTls[0]', /twice/],
    ['a proxy of no listener', 'smtp: {proxyFrom: [{listener: "127.0.0.1:1", cidrs: [10.0.0.1]}]}\n', 1, 'smtp.proxyFrom[0].listener', /listened on/],
    ['everybody a proxy', 'smtp: {listen: ["127.0.0.1:25"], proxyFrom: [{listener: "127.0.0.1:25", cidrs: ["::/0"]}]}\n', 1, 'smtp.proxyFrom[0].cidrs[0]', /anybody/],
    ['a key written twice', 'tenant: a\ntenant: b\n', 2, 'tenant', /twice/],
    ['YAML that is none', 'smtp:\n  listen: [a\n', 3, '', /no valid YAML/],
    ['a tab', 'smtp:\n\tlisten: []\n', 2, '', /spaces/],
    ['a list instead of settings', '- a\n', 1, '', /group of settings/],
    ['a text instead of a group', 'smtp: yes please\n', 1, 'smtp', /group of settings/],
    ['a text instead of a list', 'routes: here\n', 1, 'routes', /list/],
    ['a group instead of a text', 'tenant: {a: 1}\n', 1, 'tenant', /group/],
    ['a number instead of a text', 'node: 12\n', 1, 'node', /quotes: "12"/],
    ['a text instead of a number', 'delivery: {expireHours: "5"}\n', 1, 'delivery.expireHours', /must be a number/],
    ['a fraction', 'delivery: {expireHours: 1.5}\n', 1, 'delivery.expireHours', /whole number/],
    ['one below the range', 'smtp: {limits: {recipientsPerTransaction: 99}}\n', 1, 'smtp.limits.recipientsPerTransaction', /at least 100/],
    ['one above the range', 'routes: [{domain: "*", host: a, port: 65536}]\n', 1, 'routes[0].port', /65535/],
    ['a word instead of a truth value', 'billing: {billDuplicates: maybe}\n', 1, 'billing.billDuplicates', /true or false/],
    ['an empty entry of a list', 'recipients:\n  domains:\n    - \n', 3, 'recipients.domains[0]', /empty/],
    ['a list that may not be empty', 'smtp: {listen: []}\n', 1, 'smtp.listen', /at least 1/],
    ['no listening address', 'smtp: {listen: ["2525"]}\n', 1, 'smtp.listen[0]', /2525/],
    ['a port beyond 65535', 'http: {listen: "127.0.0.1:65536"}\n', 1, 'http.listen', /up to 65535/],
    ['an impossible IP address', 'http: {listen: "127.0.0.256:80"}\n', 1, 'http.listen', /no IP address/],
    ['one address for both', 'http: {listen: "127.0.0.1:2525"}\n', 1, 'http.listen', /smtp\.listen as well/],
    ['one address twice', 'smtp: {listen: ["127.0.0.1:25", "127.0.0.1:25"]}\n', 1, 'smtp.listen[1]', /twice/],
    ['a network of letters', 'networks: [{name: a, class: device, cidrs: ["abc"]}]\n', 1, 'networks[0].cidrs[0]', /192\.0\.2\.0\/24/],
    ['too many fixed bits', 'networks: [{name: a, class: device, cidrs: ["10.0.0.0/33"]}]\n', 1, 'networks[0].cidrs[0]', /32/],
    ['bits beyond the prefix', 'networks: [{name: a, class: device, cidrs: ["10.1.2.3/8"]}]\n', 1, 'networks[0].cidrs[0]', /10\.0\.0\.0\/8/],
    ['bits beyond the prefix of v6', 'networks: [{name: a, class: device, cidrs: ["2001:db8::1/32"]}]\n', 1, 'networks[0].cidrs[0]', /2001:db8::\/32/],
    ['everybody trusted', 'networks: [{name: a, class: trusted, cidrs: ["0.0.0.0/0"]}]\n', 1, 'networks[0].cidrs[0]', /anybody could relay/],
    ['everybody trusted by v6', 'networks: [{name: a, class: trusted, cidrs: ["::/0"]}]\n', 1, 'networks[0].cidrs[0]', /anybody could relay/],
    ['everybody relaying', 'networks: [{name: a, class: device, relay: true, cidrs: ["0.0.0.0/0"]}]\n', 1, 'networks[0].cidrs[0]', /relay: true/],
    ['two networks of one name', 'networks:\n- {name: a, class: device, cidrs: [10.0.0.1]}\n- {name: a, class: device, cidrs: [10.0.0.2]}\n', 3, 'networks[1].name', /name of its own/],
    ['a wildcard domain', 'recipients: {domains: ["*.example.org"]}\n', 1, 'recipients.domains[0]', /subdomain/],
    ['a domain with a slash', 'recipients: {domains: ["example.org/"]}\n', 1, 'recipients.domains[0]', /no domain/],
    ['a domain twice in another case', 'recipients: {domains: [a.test, A.test]}\n', 1, 'recipients.domains[1]', /twice/],
    ['a route of no domain', 'routes: [{domain: "a..b", host: x}]\n', 1, 'routes[0].domain', /no domain/],
    ['two routes for a domain', 'routes:\n- {domain: "*", host: x}\n- {domain: "*", host: y}\n', 3, 'routes[1].domain', /another route/],
    ['a port inside the host', 'routes: [{domain: "*", host: "inner:2525"}]\n', 1, 'routes[0].host', /"port: 2525"/],
    ['retries the wrong way round', 'delivery: {firstRetrySeconds: 100, lastRetrySeconds: 10}\n', 1, 'delivery.firstRetrySeconds', /smaller/],
    ['an unknown time zone', 'billing: {timeZone: Europe/Berlim}\n', 1, 'billing.timeZone', /Europe\/Berlin/],
    ['a database of another kind', 'database: mysql://x\n', 1, 'database', /embedded/],
  ]
  it.each(table)('names line and field of %s', (_name, text, line, field, wanted) => {
    const faults = faultsOf(text)
    expect(faults).toHaveLength(1)
    expect({ line: faults[0]!.line, field: faults[0]!.field }).toEqual({ line, field })
    expect(faultText(faults[0]!)).toMatch(wanted)
  })

  it.each([
    ['a trusted network of all but one bit', 'networks: [{name: a, class: trusted, cidrs: ["128.0.0.0/1"]}]\n'],
    ['a public network of everything', 'networks: [{name: a, class: public, cidrs: ["0.0.0.0/0"]}]\n'],
    ['any free port on both', 'http: {listen: "127.0.0.1:0"}\nsmtp: {listen: ["127.0.0.1:0", "[::1]:0"]}\n'],
    ['a port of 65535', 'routes: [{domain: "*", host: a, port: 65535}]\n'],
    ['retries all alike', 'delivery: {firstRetrySeconds: 10, lastRetrySeconds: 10}\n'],
    ['a mapped address', 'networks: [{name: a, class: device, cidrs: ["::ffff:10.0.0.1"]}]\n'],
  ])('accepts %s', (_name, text) => {
    expect(faultsOf(text)).toEqual([])
  })

  it.each([
    ['a file that is not there', 'nowhere.yaml', /no such file/],
    ['a folder', '.', /folder/],
  ])('says so of %s instead of throwing', (_name, name, wanted) => {
    const reading = readConfig(join(folder, name), {})
    expect('faults' in reading && reading.faults.map(faultText).join()).toMatch(wanted)
  })

  it('says so of a file that is not UTF-8', () => {
    const path = join(folder, 'latin.yaml')
    writeFileSync(path, Buffer.from([0x61, 0x3a, 0x20, 0xe4]))
    const reading = readConfig(path, {})
    expect('faults' in reading && faultText(reading.faults[0]!)).toMatch(/UTF-8/)
  })
})

describe('environment variables', () => {
  it('override the file for every kind of setting', () => {
    const { config } = configOf('tenant: a\nsmtp: {listen: ["127.0.0.1:1"]}\n', {
      TOLLGATE_TENANT: 'b',
      TOLLGATE_SMTP_LISTEN: '127.0.0.1:2, [::1]:3',
      TOLLGATE_SMTP_LIMITS_MESSAGE_BYTES: '1234',
      TOLLGATE_BILLING_BILL_DUPLICATES: 'true',
      TOLLGATE_RECIPIENTS_DISABLED_BALANCE_EXHAUSTED: 'refuse',
      TOLLGATE_ROUTES: '[{domain: "*", host: inner}]',
      TOLLGATE_DATABASE_URL: 'postgres://h/d',
      TOLLGATE_HTTP_LISTEN: '',
    })
    expect(config).toMatchObject({
      tenant: 'b',
      smtp: { listen: ['127.0.0.1:2', '[::1]:3'], limits: { messageBytes: 1234 } },
      billing: { billDuplicates: true },
      recipients: { disabled: { 'balance-exhausted': 'refuse' } },
      routes: [{ domain: '*', host: 'inner', port: 25 }],
      database: 'postgres://h/d',
      http: { listen: '127.0.0.1:8080' },
    })
  })

  it('are named in their faults, and cure what is wrong in the file', () => {
    const faults = faultsOf('tenant: UPPER\n', { TOLLGATE_TENANT: 'fine', TOLLGATE_DELIVERY_EXPIRE_HOURS: 'long', TOLLGATE_NETWORKS: '[{name: a' })
    expect(faults.map(({ source, line, field }) => ({ source, line, field }))).toEqual([
      { source: 'TOLLGATE_DELIVERY_EXPIRE_HOURS', line: null, field: 'delivery.expireHours' },
      { source: 'TOLLGATE_NETWORKS', line: null, field: 'networks' },
    ])
  })

  it('contradict each other aloud when the database is named twice', () => {
    const both = { TOLLGATE_DATABASE: 'embedded', TOLLGATE_DATABASE_URL: 'postgres://h/d' }
    expect(faultsOf('', both).map((fault) => fault.field)).toEqual(['database'])
  })

  it('warn of a misspelt name and leave names of others alone', () => {
    const { warnings } = configOf('', { TOLLGATE_SMTP_LISTEM: 'x', TOLLGATE_SERVICE_PORT_HTTP_WEB: '1' })
    expect(warnings).toEqual([expect.stringContaining('TOLLGATE_SMTP_LISTEN')])
  })

  it('have one name each', () => {
    expect(new Set(configVariables.map((variable) => variable.name)).size).toBe(configVariables.length)
  })
})

it('finds the file by variable first, then in the folder, then not at all', () => {
  const own = mkdtempSync(join(folder, 'find-'))
  expect(configFile({}, own)).toBe(null)
  writeFileSync(join(own, 'tollgate.yaml'), '')
  expect(configFile({}, own)).toBe('tollgate.yaml')
  expect(configFile({ TOLLGATE_CONFIG: 'other.yaml' }, own)).toBe('other.yaml')
})
