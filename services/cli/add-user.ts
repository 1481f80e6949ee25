/** `tollgate user add NAME --role …`. The password never stands in the arguments, which everybody can list. */
import { createUser, newUserFault } from '../api/access/create-user.ts'
import type { Role } from '../contracts/vocabulary.ts'
import { ensureTenant } from '../database/ensure-tenant.ts'
import type { Config } from '../kit/config.ts'
import { withCommandDatabase } from './command-database.ts'
import { askForPassword, firstLineOfStdin } from './ask-for-password.ts'
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
