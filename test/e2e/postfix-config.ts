/**
 * The configuration of a real Postfix in a folder of its own, for tests and benches: relays for others, delivers nothing
 * itself, asks no name servers, and logs to `<folder>/mail.log`.
 */
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'

export type PostfixConfig = {
  port: number
  /** Lines of main.cf beside those that every such Postfix has; `$config_directory` is where the maps are. */
  settings: string
  /** Files beside main.cf, by name. */
  maps: Readonly<Record<string, string>>
}

/** Needs root: the data folder belongs to Postfix's own user. */
export function writePostfixConfig(folder: string, { port, settings, maps }: PostfixConfig): void {
  const conf = path.join(folder, 'conf')
  mkdirSync(folder, { recursive: true })
  chmodSync(folder, 0o755)
  for (const name of ['conf', 'queue', 'data']) mkdirSync(path.join(folder, name), { mode: 0o755 })
  execFileSync('chown', ['postfix', path.join(folder, 'data')])
  for (const [name, text] of Object.entries(maps)) writeFileSync(path.join(conf, name), text)
  writeFileSync(path.join(conf, 'main.cf'), `${sharedSettings(folder)}${settings.trim()}\n`)
  writeFileSync(path.join(conf, 'master.cf'), `127.0.0.1:${port} inet n - n - - smtpd\n${services}`)
}

const sharedSettings = (folder: string): string => `compatibility_level = 3.6
queue_directory = ${folder}/queue
data_directory = ${folder}/data
maillog_file = ${folder}/mail.log
maillog_file_prefixes = ${folder}
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
local_recipient_maps =
`

const services = `postlog unix-dgram n - n - 1 postlogd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
`
