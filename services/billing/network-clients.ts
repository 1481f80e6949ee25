/**
 * Who pays for what a network sends out where nobody holds the sender address: `networks[].client` of the
 * configuration, by date (table network_client), so that metering again gives the same payer.
 */
import type { Database } from '../database/open-database.ts'
import type { Config } from '../kit/config.ts'
import { earliestChangeAt, newestEntryAt, takeEntryLock } from './entry-lock.ts'
import { inTransaction } from './in-transaction.ts'

/** Makes the stored payers what the configuration says. Gives the clients that the directory does not hold. */
export async function ensureNetworkClients(
  database: Database,
  tenantId: string,
  networks: Config['networks'],
  now: Date = new Date(),
): Promise<{ network: string; client: string }[]> {
  const wanted = networks.flatMap(({ name, client }) => (client === undefined ? [] : [{ network: name, client }]))
  return await inTransaction(database, async (transaction) => {
    await takeEntryLock(transaction, tenantId)
    const newestEntry = await newestEntryAt(transaction, tenantId)
    const { rows } = await transaction.query<{ held: boolean; newest: Date | null }>(
      `select count(*) > 0 as held, greatest(max(lower(valid)), max(upper(valid))) as newest
       from network_client where tenant_id = $1`,
      [tenantId],
    )
    const { held, newest } = rows[0]!
    const from = held || newestEntry !== null ? earliestChangeAt(now, [newest, newestEntry]) : null
    const names = [tenantId, wanted.map((entry) => entry.network), wanted.map((entry) => entry.client)]
    await transaction.query(
      `update network_client held set valid = tstzrange(lower(valid), $4, '[)')
       where tenant_id = $1 and upper_inf(valid) and not exists (
         select from unnest($2::text[], $3::text[]) as wanted (network_name, client_id)
         where wanted.network_name = held.network_name and wanted.client_id = held.client_id)`,
      [...names, from],
    )
    await transaction.query(
      `insert into network_client (tenant_id, network_name, client_id, valid)
       select $1, network_name, client_id, tstzrange($4, null, '[)')
       from unnest($2::text[], $3::text[]) as wanted (network_name, client_id)
       where not exists (
         select from network_client held
         where held.tenant_id = $1 and upper_inf(held.valid) and held.network_name = wanted.network_name)`,
      [...names, from],
    )
    const unknown = await transaction.query<{ network: string; client: string }>(
      `select network_name as network, client_id as client
       from unnest($2::text[], $3::text[]) as wanted (network_name, client_id)
       where not exists (select from client where client.tenant_id = $1 and client.client_id = wanted.client_id)`,
      names,
    )
    return unknown.rows
  })
}
