/** `tollgate user add NAME --role …`. The password never stands in the arguments, which everybody can list. */
import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { createUser, newUserFault } from '../api/access/create-user.ts'
import type { Role } from '../contracts/vocabulary.ts'
import { ensureTenant } from '../database/ensure-tenant.ts'
import type { Config } from '../kit/config.ts'
import { withCommandDatabase } from './command-database.ts'
import { UsageError } from './outcome.ts'

export type AddUserOptions = { name: string; role: Role; clientId: string | null; isPasswordOnStdin: boolean; isDemo: boolean }

export async function addUser(configured: Config, options: AddUserOptions): Promise<void> {
  const password = options.isPasswordOnStdin ? await firstLineOfStdin() : await askForPassword()
  const user = { name: options.name, role: options.role, clientId: options.clientId, password }
  const fault = newUserFault(user)
  if (fault !== null) throw new UsageError(`${fault}.`)
  const { isNew } = await withCommandDatabase(configured, options, async ({ database, config }) => {
    await ensureTenant(database, config.tenant)
    try {
      return await createUser(database, config.tenant, user)
    } catch (error) {
      if (error instanceof RangeError) throw new UsageError(`${error.message}.`)
      throw error
    }
  })
  process.stdout.write(isNew ? `${user.name} may log in.\n` : `${user.name} was there already, and has a new password and role.\n`)
}

async function firstLineOfStdin(): Promise<string> {
  const lines = createInterface({ input: process.stdin })
  for await (const line of lines) {
    lines.close()
    return line
  }
  throw new UsageError('There is no password on standard input: write it there as one line.')
}

/** Asked twice on the terminal, and not shown. */
async function askForPassword(): Promise<string> {
  if (process.stdin.isTTY !== true) throw new UsageError('Standard input is no terminal to ask for the password on: give --password-stdin.')
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
  const terminal = createInterface({ input: process.stdin, output: silent, terminal: true })
  terminal.on('SIGINT', () => process.exit(130))
  const ask = (question: string): Promise<string> => {
    process.stderr.write(question)
    return new Promise((resolve) => terminal.once('line', (line) => {
      process.stderr.write('\n')
      resolve(line)
    }))
  }
  try {
    const first = await ask('Password: ')
    if (first !== (await ask('Once more: '))) throw new UsageError('The two passwords differ.')
    return first
  } finally {
    terminal.close()
  }
}
