/** The directory as it holds now: clients in order of their ids, each with its addresses in their order. */
import type { ClientState, DirectoryFile } from '../../contracts/directory.ts'
import type { SqlTransaction } from '../in-transaction.ts'

export async function currentDirectory(transaction: SqlTransaction, tenantId: string): Promise<DirectoryFile> {
  const { rows } = await transaction.query<{ id: string; name: string; parent: string | null; state: ClientState; addresses: string[] }>(
    `select client_id as id, name, parent_id as parent, state,
       coalesce(array(select address from client_address held
         where held.tenant_id = client.tenant_id and held.client_id = client.client_id and upper_inf(valid) order by address), '{}') as addresses
     from client where tenant_id = $1 order by client_id collate "C"`,
    [tenantId],
  )
  return { clients: rows.map(({ parent, ...client }) => ({ ...client, ...(parent === null ? {} : { parent }) })) }
}
