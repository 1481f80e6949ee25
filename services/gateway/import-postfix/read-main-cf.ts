/**
 * main.cf as Postfix reads it (postconf(5)): continuation lines, comments, $variables, the last of two equal names.
 *
 * Owns    the line of every setting, and the defaults of those that are translated.
 * Fails   never throws: a line that is no setting is told in `strays`.
 */
export type Setting = { name: string; line: number; raw: string }

export type MainCf = { settings: Setting[]; strays: { line: number; text: string }[]; value(name: string): string }

/** Of Postfix 3.4 and later with a compatibility level of 2 or more. */
const defaults: ReadonlyMap<string, string> = new Map([
  ['inet_interfaces', 'all'],
  ['message_size_limit', '10240000'],
  ['mydestination', '$myhostname, localhost.$mydomain, localhost'],
  ['myhostname', 'localhost'],
  ['mynetworks', '127.0.0.0/8 [::1]/128'],
  ['myorigin', '$myhostname'],
  ['relay_transport', 'relay'],
  ['default_transport', 'smtp'],
  ['virtual_alias_domains', '$virtual_alias_maps'],
  ['virtual_alias_maps', '$virtual_maps'],
  ['smtpd_relay_restrictions', 'permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination'],
])

export type LogicalLine = { line: number; text: string }

/** Comments and empty lines left out, lines that begin with a blank put to the one before. */
export function logicalLines(text: string): LogicalLine[] {
  const found: LogicalLine[] = []
  text.split(/\r?\n/).forEach((line, index) => {
    if (/^\s*(#|$)/.test(line)) return
    const last = found.at(-1)
    if (/^\s/.test(line) && last !== undefined) last.text += ` ${line.trim()}`
    else found.push({ line: index + 1, text: line.trim() })
  })
  return found
}

/** Words between blanks and commas; what braces hold stays together. */
export function wordsOf(value: string): string[] {
  return value.match(/(?:[^\s,{}]*\{[^}]*\}[^\s,]*|[^\s,]+)/g) ?? []
}

export function readMainCf(text: string, folder: string): MainCf {
  const settings: Setting[] = []
  const strays: { line: number; text: string }[] = []
  for (const { line, text: whole } of logicalLines(text)) {
    const [, name, raw] = /^([A-Za-z0-9_.-]+)\s*=\s*(.*)$/.exec(whole) ?? []
    if (name === undefined || raw === undefined) strays.push({ line, text: whole })
    else settings.push({ name, line, raw })
  }
  const byName = new Map([['config_directory', folder], ...settings.map(({ name, raw }): [string, string] => [name, raw])])
  const value = (name: string, depth = 0): string => {
    // An empty text is what Postfix makes of a name that it does not know; a circle of names ends as one.
    if (depth > 20) return ''
    const own = byName.get(name) ?? defaults.get(name) ?? (name === 'mydomain' ? domainOf(value('myhostname', depth + 1)) : '')
    return own.replace(/\$(?:\{(\w+)\}|\((\w+)\)|(\w+))/g, (_, braces, brackets, bare) =>
      value((braces ?? brackets ?? bare) as string, depth + 1),
    ).trim()
  }
  return { settings, strays, value: (name) => value(name) }
}

function domainOf(hostname: string): string {
  const dot = hostname.indexOf('.')
  return dot < 0 ? 'localdomain' : hostname.slice(dot + 1)
}
