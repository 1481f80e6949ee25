/**
 * Who is logged in: rows of login_session.
 *
 * Owns    the token in the cookie, its sha256 in the table, the CSRF token, expiry and renewal.
 * Limits  a session ends `idleMs` after its last use and `longestMs` after its login, whichever is first.
 * Why     role and client are read with every request, so that a change of either holds at once.
 */
import { createHash, randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import type { Role } from '../../contracts/vocabulary.ts'
import type { Database } from '../../database/open-database.ts'

export const sessionLimits = { idleMs: 12 * 3_600_000, longestMs: 7 * 86_400_000 } as const

export type LoginSession = {
  tokenHash: Buffer
  name: string
  role: Role
  clientId: string | null
  csrfToken: string
  createdAt: Date
  expiresAt: Date
}

const tokenPattern = /^[\w-]{43}$/

function tokenHashOf(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}

/** Makes a session and returns the token, which is nowhere else; sessions that are over are removed on the way. */
export async function createLoginSession(
  database: Database,
  tenantId: string,
  name: string,
  nowMs: number,
): Promise<{ token: string; csrfToken: string; expiresAt: Date }> {
  const token = randomBytes(32).toString('base64url')
  const csrfToken = randomBytes(32).toString('base64url')
  const expiresAt = new Date(nowMs + sessionLimits.idleMs)
  await database.kysely.deleteFrom('login_session').where('expires_at', '<=', new Date(nowMs)).execute()
  await database.kysely
    .insertInto('login_session')
    .values({
      token_hash: tokenHashOf(token),
      tenant_id: tenantId,
      name,
      csrf_token: csrfToken,
      created_at: new Date(nowMs),
      expires_at: expiresAt,
    })
    .execute()
  return { token, csrfToken, expiresAt }
}

export async function findLoginSession(
  database: Database,
  tenantId: string,
  token: string,
  nowMs: number,
): Promise<LoginSession | null> {
  if (!tokenPattern.test(token)) return null
  const row = await database.kysely
    .selectFrom('login_session')
    .innerJoin('user_account', (join) =>
      join
        .onRef('user_account.tenant_id', '=', 'login_session.tenant_id')
        .onRef('user_account.name', '=', 'login_session.name'),
    )
    .select([
      'token_hash',
      'login_session.name',
      'role',
      'client_id',
      'csrf_token',
      'login_session.created_at',
      'expires_at',
    ])
    .where('token_hash', '=', tokenHashOf(token))
    .where('login_session.tenant_id', '=', tenantId)
    .where('expires_at', '>', new Date(nowMs))
    .executeTakeFirst()
  if (row === undefined) return null
  return {
    tokenHash: row.token_hash,
    name: row.name,
    role: row.role,
    clientId: row.client_id,
    csrfToken: row.csrf_token,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
  }
}

/** The new end of a session that is in use, once half of its idle time has passed; else `null`. */
export async function renewLoginSession(
  database: Database,
  session: LoginSession,
  nowMs: number,
): Promise<Date | null> {
  if (session.expiresAt.getTime() - nowMs > sessionLimits.idleMs / 2) return null
  const endMs = Math.min(nowMs + sessionLimits.idleMs, session.createdAt.getTime() + sessionLimits.longestMs)
  if (endMs <= session.expiresAt.getTime()) return null
  await database.kysely
    .updateTable('login_session')
    // Two requests at once: the later end wins.
    .set({ expires_at: sql`greatest(expires_at, ${new Date(endMs)})` })
    .where('token_hash', '=', session.tokenHash)
    .execute()
  return new Date(endMs)
}

export async function deleteLoginSession(database: Database, session: LoginSession): Promise<void> {
  await database.kysely.deleteFrom('login_session').where('token_hash', '=', session.tokenHash).execute()
}
