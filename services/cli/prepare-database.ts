/**
 * What a database needs before the roles start on it: schema, tenant, clients, and somebody who may log in.
 *
 * Fails  a directory with faults is logged and keeps nothing from starting: the gateway goes on with the last one it
 *        could read, and the owners of addresses stay as they are until the file is mended.
 */
import { randomInt } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createUser } from '../api/access/create-user.ts'
import { publishFirstRules } from '../api/policy/first-rules.ts'
import { ensureBillingPolicy } from '../billing/billing-policy.ts'
import { ensureTenant } from '../database/ensure-tenant.ts'
import { migrate } from '../database/migrate.ts'
import { openDatabase, type Database } from '../database/open-database.ts'
import { demoRules } from '../demo/demo-config.ts'
import type { Config } from '../kit/config.ts'
import type { Logger } from '../kit/operator-log.ts'
import { takeDirectory } from './follow-directory.ts'

export type FirstLogin = { name: string; password: string }

/** `config.database` is the URL. Returns the login if it was made now, else `null`. */
export async function prepareDatabase(config: Config, isDemo: boolean, log: Logger): Promise<FirstLogin | null> {
  const applied = await migrate(config.database)
  if (applied.length > 0) log.info(`the database schema is set up (${applied.length} migrations)`)
  const database = openDatabase(config.database, { applicationName: 'tollgate up', maxConnections: 2 })
  try {
    await ensureTenant(database, config.tenant, { isDemo })
    // Made while nothing runs yet: making one waits for every reader and writer of the table.
    await database.pool.query(`select ensure_partitions(now() - interval '1 month', now() + interval '3 months')`)
    await ensureBillingPolicy(database, config.tenant, config)
    if (isDemo) await publishFirstRules(database, config.tenant, demoRules(), 'demo')
    const { directory } = config.recipients
    if (directory !== undefined) await takeDirectory(directory, config, database, log)
    return await ensureFirstLogin(database, config)
  } finally {
    await database.close()
  }
}

async function ensureFirstLogin(database: Database, config: Config): Promise<FirstLogin | null> {
  const file = join(config.data, 'first-login.txt')
  const user = await database.kysely
    .selectFrom('user_account')
    .select('name')
    .where('tenant_id', '=', config.tenant)
    .limit(1)
    .executeTakeFirst()
  if (user !== undefined) return null
  const login = { name: 'admin', password: readablePassword() }
  await createUser(database, config.tenant, { ...login, role: 'admin', clientId: null })
  writeFileSync(file, `name: ${login.name}\npassword: ${login.password}\n`, { mode: 0o600 })
  return login
}

/** 16 letters and digits that cannot be taken for one another: 78 bits. */
function readablePassword(): string {
  const letters = 'abcdefghjkmnpqrstuvwxyz23456789'
  const characters = Array.from({ length: 16 }, () => letters[randomInt(letters.length)]!)
  return [0, 4, 8, 12].map((from) => characters.slice(from, from + 4).join('')).join('-')
}
