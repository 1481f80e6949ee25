/** What `tollgate up` prints when all of it runs. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../kit/config.ts'
import type { FirstLogin } from './prepare-database.ts'

export type NextSteps = {
  httpUrl: string
  smtpAddresses: string[]
  login: FirstLogin | null
  isDemo: boolean
  config: Config
}

export function nextSteps({ httpUrl, smtpAddresses, login, isDemo, config }: NextSteps): string {
  const smtp = smtpAddresses[0] ?? ''
  const [recipient, ip] = isDemo ? ['ann@corp.test', '127.0.0.9'] : [`somebody@${config.recipients.domains[0] ?? 'example.org'}`, null]
  const command = isDemo ? (line: string) => `node bin/tollgate.js ${line} --demo` : (line: string) => `node bin/tollgate.js ${line}`
  const period = new Date().toISOString().slice(0, 7)
  const lines = [
    '',
    `  Tollgate runs${isDemo ? ' with its demo' : ''}.`,
    '',
    `  Web      ${httpUrl}`,
    `  Login    ${loginText(login, config)}`,
    `  SMTP     ${smtpAddresses.join(', ')}`,
    `  Data     ${config.data}`,
    '',
    '  Try next',
    `    swaks --server ${smtp} --from you@partner.test --to ${recipient}${ip === null ? '' : ` --local-interface ${ip}`}`,
    `    ${command(`trace to:${recipient}`)}`,
    `    ${command(`report usage --period ${period} --by client`)}`,
    '',
    `  Ctrl-C stops all of it.${isDemo ? ' `tollgate demo clear` removes the demo.' : ''}`,
    '',
  ]
  return `${lines.join('\n')}\n`
}

/** The password is shown once; later its file tells it, as long as nobody has removed that. */
function loginText(login: FirstLogin | null, config: Config): string {
  const file = join(config.data, 'first-login.txt')
  if (login !== null) return `${login.name} / ${login.password}   (kept in ${file})`
  return existsSync(file) ? `as before; the first one stands in ${file}` : 'as before'
}
