/** Adds an account, or gives an existing one a new password and role: `tollgate user add`. */
import { roles, type Role } from '../../contracts/vocabulary.ts'
import type { Database } from '../../database/open-database.ts'
import { recordAudit } from './audit.ts'
import { hashPassword } from '../../kit/password.ts'

export type NewUser = {
  name: string
  role: Role
  /** For role `client` alone: whose mail it sees. */
  clientId: string | null
  password: string
}

export const userLimits = { nameLength: 100, passwordLeast: 8, passwordMost: 1_000 } as const

/** What is wrong with a new user, as one sentence, or `null`. */
export function newUserFault(user: NewUser): string | null {
  if (user.name.trim() === '' || user.name.length > userLimits.nameLength)
    return `A user's name has 1 to ${userLimits.nameLength} characters`
  if (/[\p{Cc}\p{Cf}]/u.test(user.name)) return "A user's name holds no control characters"
  if (!roles.includes(user.role)) return `There is no role "${user.role}": ${roles.join(', ')}`
  if (user.role === 'client' && user.clientId === null)
    return 'The role client needs the client whose mail it may see: --client ID'
  if (user.role !== 'client' && user.clientId !== null)
    return `Only the role client belongs to a client, not ${user.role}`
  if (user.password.length < userLimits.passwordLeast)
    return `A password has at least ${userLimits.passwordLeast} characters`
  if (user.password.length > userLimits.passwordMost)
    return `A password has at most ${userLimits.passwordMost} characters`
  return null
}

/**
 * Returns whether the account is new. Sessions of an account that existed end, as its password changed.
 * Throws a RangeError with one sentence for what `newUserFault` finds and for a client that does not exist.
 */
export async function createUser(database: Database, tenantId: string, user: NewUser): Promise<{ isNew: boolean }> {
  const fault = newUserFault(user)
  if (fault !== null) throw new RangeError(fault)
  const passwordHash = await hashPassword(user.password)
  return await database.kysely.transaction().execute(async (transaction) => {
    if (user.clientId !== null) {
      const client = await transaction
        .selectFrom('client')
        .select('client_id')
        .where('tenant_id', '=', tenantId)
        .where('client_id', '=', user.clientId)
        .executeTakeFirst()
      if (client === undefined)
        throw new RangeError(`There is no client "${user.clientId}": its short name stands in the directory file`)
    }
    const ended = await transaction
      .deleteFrom('login_session')
      .where('tenant_id', '=', tenantId)
      .where('name', '=', user.name)
      .execute()
    const values = { role: user.role, client_id: user.clientId, password_hash: passwordHash }
    const before = await transaction
      .selectFrom('user_account')
      .select('name')
      .where('tenant_id', '=', tenantId)
      .where('name', '=', user.name)
      .executeTakeFirst()
    await transaction
      .insertInto('user_account')
      .values({ tenant_id: tenantId, name: user.name, ...values })
      .onConflict((conflict) => conflict.columns(['tenant_id', 'name']).doUpdateSet(values))
      .execute()
    const detail = {
      role: user.role,
      clientId: user.clientId,
      endedSessionCount: String(ended[0]?.numDeletedRows ?? 0),
    }
    await recordAudit({ ...database, kysely: transaction }, tenantId, {
      actor: 'command line',
      action: 'user.created',
      subject: user.name,
      detail,
    })
    return { isNew: before === undefined }
  })
}
