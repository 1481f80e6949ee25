/** Clients for lists and details. */
import type { ClientDetail, ClientRow } from '../../contracts/client.ts'
import type { DirectoryFile } from '../../contracts/directory.ts'
import type { Database } from '../../database/open-database.ts'
import { inTransaction } from '../in-transaction.ts'
import { currentDirectory } from './current-directory.ts'

/** In order of their ids. */
export async function listClients(database: Database, tenantId: string, now: Date): Promise<ClientRow[]> {
  const { rows } = await database.pool.query<ClientRow>(
    `select client_id as "clientId", name, parent_id as "parentId", state,
       (select count(*) from client_address held where held.tenant_id = client.tenant_id and held.client_id = client.client_id and upper_inf(valid))::integer as "addressCount",
       (select tariff_id from tariff_assignment a where a.tenant_id = client.tenant_id and a.client_id = client.client_id and valid @> $2::timestamptz) as "tariffId"
     from client where tenant_id = $1 order by client_id collate "C"`,
    [tenantId, now],
  )
  return rows
}

/** `null`: there is no such client. */
export async function readClient(database: Database, tenantId: string, clientId: string, now: Date): Promise<ClientDetail | null> {
  const row = (await listClients(database, tenantId, now)).find((client) => client.clientId === clientId)
  if (row === undefined) return null
  const { rows } = await database.pool.query<{ address: string; from: Date | null; upto: Date | null }>(
    `select address, case when isfinite(lower(valid)) then lower(valid) end as "from", upper(valid) as "upto"
     from client_address where tenant_id = $1 and client_id = $2 order by upper(valid) desc nulls first, address`, [tenantId, clientId])
  return { ...row, addresses: rows.map(({ address, from, upto }) => ({ address, from: from?.toISOString() ?? null, upto: upto?.toISOString() ?? null })) }
}

export async function readDirectoryNow(database: Database, tenantId: string): Promise<DirectoryFile> {
  return await inTransaction(database, (transaction) => currentDirectory(transaction, tenantId))
}
