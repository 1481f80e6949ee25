/** Which of the logins behind open streams are over, or have another role or client now. */
import type { LoginSession } from '../access/login-session.ts'
import type { ApiContext } from '../api-server.ts'

export async function endedLogins(context: ApiContext, logins: readonly LoginSession[]): Promise<Set<LoginSession>> {
  if (logins.length === 0) return new Set()
  const rows = await context.database.kysely
    .selectFrom('login_session')
    .innerJoin('user_account', (join) =>
      join
        .onRef('user_account.tenant_id', '=', 'login_session.tenant_id')
        .onRef('user_account.name', '=', 'login_session.name'),
    )
    .select(['token_hash', 'role', 'client_id'])
    .where('login_session.tenant_id', '=', context.tenantId)
    .where('expires_at', '>', new Date(context.clock.nowMs()))
    .where('token_hash', 'in', [...new Set(logins.map((login) => login.tokenHash))])
    .execute()
  const alive = new Set(rows.map((row) => `${row.token_hash.toString('hex')} ${row.role} ${row.client_id ?? ''}`))
  return new Set(
    logins.filter((login) => !alive.has(`${login.tokenHash.toString('hex')} ${login.role} ${login.clientId ?? ''}`)),
  )
}
