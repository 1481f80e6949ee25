import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { logicalLines, readMainCf } from './read-main-cf.ts'
import { translatePostfix } from './translate-postfix.ts'
import { checkImport, ImportFault, writeImport } from './write-import.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tollgate-postfix-import-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const put = (name: string, text: string): void => writeFileSync(join(folder, name), text)

function putGateway(): void {
  put('main.cf', `# a gateway
myhostname = mx.corp.test
mydestination =
relay_domains = corp.test,
   birch.test
relay_recipient_maps = hash:$config_directory/recipients, ldap:/etc/postfix/ldap.cf
virtual_alias_maps = texthash:/etc/postfix/virtual
transport_maps = hash:$config_directory/transport
mynetworks = 127.0.0.0/8 !127.0.0.9 [2001:db8::]/32 0.0.0.0/0
message_size_limit = 1000
message_size_limit = 20480000
smtpd_client_restrictions = permit_mynetworks, check_client_access cidr:$config_directory/clients,
  reject_unknown_reverse_client_hostname, reject_rbl_client zen.example.test=127.0.0.2
smtpd_recipient_restrictions = reject_unauth_destination, check_policy_service inet:127.0.0.1:10023
header_checks = pcre:$config_directory/header_checks
smtpd_milters = inet:127.0.0.1:8891
smtp_tls_security_level = may
a stray line
`)
  put('recipients', 'ann@corp.test ok\nBen@corp.test ok\n@birch.test ok\nelse@other.test ok\n')
  put('virtual', 'sales@corp.test ann@corp.test, ben@corp.test\n@corp.test ann@corp.test\none@corp.test two@corp.test\ntwo@corp.test one@corp.test\n')
  put('transport', 'corp.test smtp:[10.0.0.1]:2525\nbirch.test smtp:inside.birch.test\n.corp.test smtp:[10.0.0.3]\n* lmtp:unix:x\n')
  put('clients', '192.0.2.0/24 OK\n198.51.100.7 REJECT go away\n')
  put('header_checks', '/^Subject: .*forbidden/ REJECT no such content\n/^Subject: (?=look)/ REJECT\n/^X-Spam: yes/ HOLD\n')
  put('master.cf', 'smtp inet n - y - - smtpd\n  -o content_filter=scan:x\nsubmission inet n - y - - smtpd\n  -o smtpd_sasl_auth_enable=yes\nqmgr unix n - n 300 1 qmgr\n')
}

const reportOf = (name: string) => translatePostfix(folder).report.map((line) => ({ ...line, file: line.file.slice(folder.length + 1) })).filter((line) => line.file === name)
const yaml = (name: string) => parse(translatePostfix(folder).files.get(name)!) as never

describe('a configuration of Postfix', () => {
  it('becomes files that a gateway starts from', async () => {
    putGateway()
    const { files } = translatePostfix(folder)
    await checkImport(files)
    expect(parse(files.get('tollgate.yaml')!)).toEqual({
      smtp: { hostname: 'mx.corp.test', listen: ['0.0.0.0:25'], limits: { messageBytes: 20_480_000 } },
      recipients: { mode: 'known', domains: ['corp.test', 'birch.test'], directory: './clients.yaml', aliases: './aliases.yaml' },
      rules: './rules.yaml',
      checks: { dnsLists: [{ name: 'zen-example-test', zone: 'zen.example.test', of: 'ip' }] },
      networks: [
        { name: 'mynetworks', class: 'trusted', cidrs: ['127.0.0.0/8', '2001:db8::/32'] },
        { name: 'excluded from mynetworks', class: 'public', cidrs: ['127.0.0.9/32'] },
      ],
      routes: [
        { domain: 'corp.test', host: '10.0.0.1', port: 2525, tls: 'may' },
        { domain: 'birch.test', host: 'inside.birch.test', mx: true, tls: 'may' },
        { domain: '*', mx: true, tls: 'may' },
      ],
    })
    expect(yaml('clients.yaml')).toEqual({ clients: [
      { id: 'corp.test', name: 'corp.test', addresses: ['ann@corp.test', 'ben@corp.test', 'one@corp.test', 'sales@corp.test'] },
      { id: 'birch.test', name: 'birch.test', addresses: ['*@birch.test'] },
    ] })
    expect(yaml('aliases.yaml')).toEqual({ aliases: [
      { address: 'sales@corp.test', to: ['ann@corp.test', 'ben@corp.test'] }, { address: 'one@corp.test', to: ['two@corp.test'] },
    ] })
  })

  it('has a line of the report for each line that it consists of', () => {
    putGateway()
    for (const name of ['main.cf', 'master.cf', 'recipients', 'virtual', 'transport', 'clients', 'header_checks']) {
      const told = new Set(reportOf(name).map(({ line }) => line))
      expect(logicalLines(readFileSync(join(folder, name), 'utf8')).map(({ line }) => line).filter((line) => !told.has(line)), name).toEqual([])
    }
    const left = reportOf('main.cf').filter(({ verdict }) => verdict === 'not translated').map(({ line, subject }) => `${line} ${subject}`)
    expect(left).toEqual([
      '6 relay_recipient_maps: ldap:/etc/postfix/ldap.cf', '9 mynetworks: 0.0.0.0/0', '14 smtpd_recipient_restrictions: check_policy_service',
      '16 smtpd_milters = inet:127.0.0.1:8891', '18 a stray line',
    ])
    expect(reportOf('header_checks').map(({ line, verdict }) => [line, verdict])).toEqual([[1, 'translated'], [2, 'not translated'], [3, 'translated']])
  })

  it('exempts in rules whom its list permits before, and nobody else', () => {
    putGateway()
    const { rules } = yaml('rules.yaml') as { rules: { id: string; when: unknown }[] }
    const trusted = { not: { attribute: 'remote.networkClass', equals: 'trusted' } }
    const listed = { not: { attribute: 'remote.ip', cidr: '192.0.2.0/24' } }
    expect(rules.map(({ id, when }) => [id, when])).toEqual([
      ['client-198-51-100-7', { all: [trusted, listed, { attribute: 'remote.ip', cidr: '198.51.100.7/32' }] }],
      ['reject-unknown-reverse-client-hostname', { all: [trusted, listed, { check: 'reverse-dns', is: 'none' }] }],
      ['listed-zen-example-test', { all: [trusted, listed, { check: 'dnsbl-zen-example-test', is: '127.0.0.2' }] }],
      ['header-check-1', { attribute: 'header.Subject', matches: '^.*forbidden' }],
      ['header-check-3', { attribute: 'header.X-Spam', matches: '^yes' }],
    ])
  })

  it('trusts no network where nothing lets them relay', () => {
    put('main.cf', 'relay_domains = corp.test\nmynetworks = 10.0.0.0/8\nsmtpd_relay_restrictions = reject_unauth_destination\n')
    expect(yaml('tollgate.yaml')).toMatchObject({ networks: [] })
  })

  it('takes every address of a domain where no table names its recipients', () => {
    put('main.cf', 'relay_domains = corp.test\n')
    expect(yaml('clients.yaml')).toEqual({ clients: [{ id: 'corp.test', name: 'corp.test', addresses: ['*@corp.test'] }] })
  })

  it('takes no address of a domain whose table cannot be read', () => {
    put('main.cf', 'relay_domains = corp.test\nrelay_recipient_maps = mysql:/nowhere\n')
    expect(yaml('clients.yaml')).toEqual({ clients: [{ id: 'corp.test', name: 'corp.test', addresses: [] }] })
  })

  it('has values of other settings and of itself put in, also where names go in a circle', () => {
    const main = readMainCf('a = $b\nb = ${c}/x\nc = y\nd = $e\ne = $d z\n', '/conf')
    expect(main.value('a')).toBe('y/x')
    expect(main.value('d')).toContain('z')
    expect(readMainCf('a = $config_directory/t\n', '/conf').value('a')).toBe('/conf/t')
  })

  it('overwrites no file unless told to', async () => {
    putGateway()
    const output = join(folder, 'out')
    const { files } = translatePostfix(folder)
    mkdirSync(output)
    writeFileSync(join(output, 'clients.yaml'), 'mine')
    await expect(writeImport(files, output, false)).rejects.toThrow(ImportFault)
    expect(readFileSync(join(output, 'clients.yaml'), 'utf8')).toBe('mine')
    expect(existsSync(join(output, 'tollgate.yaml'))).toBe(false)
    await writeImport(files, output, true)
    expect(readFileSync(join(output, 'clients.yaml'), 'utf8')).toBe(files.get('clients.yaml'))
  })

  it.skipIf(!existsSync('/usr/share/postfix/main.cf.debian'))('of the Debian package is accounted for and starts', async () => {
    cpSync('/usr/share/postfix/main.cf.debian', join(folder, 'main.cf'))
    cpSync('/usr/share/postfix/master.cf.dist', join(folder, 'master.cf'))
    const { files } = translatePostfix(folder)
    await checkImport(files)
    for (const name of ['main.cf', 'master.cf']) {
      const told = new Set(reportOf(name).map(({ line }) => line))
      expect(logicalLines(readFileSync(join(folder, name), 'utf8')).map(({ line }) => line).filter((line) => !told.has(line)), name).toEqual([])
    }
  })
})
