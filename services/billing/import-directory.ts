/**
 * Imports a directory: which clients there are, and which addresses they hold from now on.
 *
 * Owns    the rows of client and client_address.
 * Why     ranges change only after every message that is metered: what was billed to one client is never another's.
 *         The first import of a tenant that has nothing metered holds from the beginning of time.
 * Limits  an import that would take away more than half of the addresses is refused unless forced: a directory that
 *         was read half looks like that.
 * Fails   a DirectoryFault lists everything that is wrong with the directory; nothing is written then.
 */
import type { DirectoryFile } from '../contracts/directory.ts'
import type { Database } from '../database/open-database.ts'
import { requiredPolicies } from './billing-policy.ts'
import { currentDirectory } from './clients/current-directory.ts'
import { DirectoryFault, wantedDirectory, type WantedDirectory } from './wanted-directory.ts'
import { earliestChangeAt, newestEntryAt, takeEntryLock } from './entry-lock.ts'
import { inTransaction, type SqlTransaction } from './in-transaction.ts'

export { DirectoryFault } from './wanted-directory.ts'

export type DirectoryImport = {
  database: Database
  tenantId: string
  /** The whole directory, or what is to become of the one that is there. */
  directory: DirectoryFile | ((current: DirectoryFile) => DirectoryFile)
  /** Ranges change from this time on, or as soon after it as no metered message is touched. Not in the future. */
  at: Date
  /** Only tells what would change. */
  dryRun?: boolean | undefined
  /** Also where more than half of the addresses would go. */
  force?: boolean | undefined
}

/** One change; `at` is the time from which it holds, `null` for the beginning of time. */
export type DirectoryChange =
  | { kind: 'client-added'; clientId: string; name: string }
  | { kind: 'client-renamed'; clientId: string; from: string; to: string }
  | { kind: 'client-parent-changed'; clientId: string; from: string | null; to: string | null }
  | { kind: 'client-state-changed'; clientId: string; from: string; to: string }
  | { kind: 'address-gained'; address: string; clientId: string; at: Date | null }
  | { kind: 'address-lost'; address: string; clientId: string; at: Date }
  | { kind: 'address-moved'; address: string; fromClientId: string; clientId: string; at: Date }

export async function importDirectory(options: DirectoryImport): Promise<DirectoryChange[]> {
  const { database, tenantId, directory } = options
  return await inTransaction(database, async (transaction) => {
    await takeEntryLock(transaction, tenantId)
    const { lowersLocalPart } = (await requiredPolicies(transaction, tenantId)).at(-1)!
    const file = typeof directory === 'function' ? directory(await currentDirectory(transaction, tenantId)) : directory
    const wanted = wantedDirectory(file, { lowerCaseLocalPart: lowersLocalPart })
    const clientChanges = await changedClients(transaction, tenantId, wanted)
    const from = await changeTime(transaction, tenantId, options.at)
    const addresses = await changedAddresses(transaction, tenantId, wanted)
    if (options.dryRun !== true) {
      if (options.force !== true) await refuseShrunkDirectory(transaction, tenantId, addresses)
      await writeClients(transaction, tenantId, wanted)
      await writeAddresses(transaction, tenantId, addresses, from)
    }
    return [...clientChanges, ...addresses.map((address) => addressChange(address, from))]
  })
}

type ChangedAddress = { address: string; fromClientId: string | null; toClientId: string | null }

/** `null`: nothing was billed and nobody held an address yet, so that the first owners were always the owners. */
async function changeTime(transaction: SqlTransaction, tenantId: string, wanted: Date): Promise<Date | null> {
  const { rows } = await transaction.query<{ held: boolean; newest: Date | null; is_future: boolean }>(
    `select exists (select from client_address where tenant_id = $1) as held,
       (select greatest(max(lower(valid)), max(upper(valid))) from client_address where tenant_id = $1) as newest,
       $2::timestamptz > now() + interval '1 minute' as is_future`,
    [tenantId, wanted],
  )
  const { held, newest, is_future: isFuture } = rows[0]!
  if (isFuture) {
    throw new RangeError(
      `A directory cannot be imported ahead of time (${wanted.toISOString()}): import it when it shall hold`,
    )
  }
  const newestEntry = await newestEntryAt(transaction, tenantId)
  return held || newestEntry !== null ? earliestChangeAt(wanted, [newest, newestEntry]) : null
}

async function changedClients(
  transaction: SqlTransaction,
  tenantId: string,
  wanted: WantedDirectory,
): Promise<DirectoryChange[]> {
  const { rows } = await transaction.query<{
    client_id: string
    name: string
    parent_id: string | null
    state: string
  }>('select client_id, name, parent_id, state from client where tenant_id = $1', [tenantId])
  const stored = new Map(rows.map((row) => [row.client_id, row]))
  const changes: DirectoryChange[] = []
  for (const { clientId, name, parentId, state } of wanted.clients) {
    const before = stored.get(clientId)
    if (before === undefined) {
      changes.push({ kind: 'client-added', clientId, name })
      continue
    }
    if (before.name !== name) changes.push({ kind: 'client-renamed', clientId, from: before.name, to: name })
    if (before.parent_id !== parentId) {
      changes.push({ kind: 'client-parent-changed', clientId, from: before.parent_id, to: parentId })
    }
    if (before.state !== state)
      changes.push({ kind: 'client-state-changed', clientId, from: before.state, to: state })
  }
  return changes
}

async function changedAddresses(
  transaction: SqlTransaction,
  tenantId: string,
  wanted: WantedDirectory,
): Promise<ChangedAddress[]> {
  const { rows } = await transaction.query<ChangedAddress>(
    `with held as (select address, client_id from client_address where tenant_id = $1 and upper_inf(valid)),
       wanted as (select address, client_id from unnest($2::text[], $3::text[]) as w (address, client_id))
     select coalesce(wanted.address, held.address) as address,
       held.client_id as "fromClientId", wanted.client_id as "toClientId"
     from held full join wanted on wanted.address = held.address
     where held.client_id is distinct from wanted.client_id
     order by coalesce(wanted.address, held.address) collate "C"`,
    [tenantId, wanted.addresses.map((entry) => entry.address), wanted.addresses.map((entry) => entry.clientId)],
  )
  return rows
}

async function refuseShrunkDirectory(
  transaction: SqlTransaction,
  tenantId: string,
  changed: ChangedAddress[],
): Promise<void> {
  const { rows } = await transaction.query<{ count: number }>(
    'select count(*)::int as count from client_address where tenant_id = $1 and upper_inf(valid)',
    [tenantId],
  )
  const heldCount = rows[0]!.count
  const lostCount = changed.filter((address) => address.toClientId === null).length
  if (lostCount * 2 <= heldCount) return
  throw new DirectoryFault([
    `${lostCount} of ${heldCount} addresses would be gone, which is more than half: ` +
      'look whether the directory is complete, and force the import if it is',
  ])
}

async function writeClients(transaction: SqlTransaction, tenantId: string, wanted: WantedDirectory): Promise<void> {
  const { clients } = wanted
  // Parents are set once all clients are there: a department may stand before its parent.
  await transaction.query(
    `insert into client (tenant_id, client_id, name, state)
     select $1, client_id, name, state from unnest($2::text[], $3::text[], $4::text[]) as c (client_id, name, state)
     on conflict (tenant_id, client_id) do update set name = excluded.name, state = excluded.state
       where (client.name, client.state) is distinct from (excluded.name, excluded.state)`,
    [
      tenantId,
      clients.map((client) => client.clientId),
      clients.map((client) => client.name),
      clients.map((client) => client.state),
    ],
  )
  await transaction.query(
    `update client set parent_id = c.parent_id from unnest($2::text[], $3::text[]) as c (client_id, parent_id)
     where tenant_id = $1 and client.client_id = c.client_id and client.parent_id is distinct from c.parent_id`,
    [tenantId, clients.map((client) => client.clientId), clients.map((client) => client.parentId)],
  )
}

async function writeAddresses(
  transaction: SqlTransaction,
  tenantId: string,
  changed: ChangedAddress[],
  from: Date | null,
): Promise<void> {
  const ended = changed.filter((address) => address.fromClientId !== null)
  const begun = changed.filter((address) => address.toClientId !== null)
  await transaction.query(
    `update client_address set valid = tstzrange(lower(valid), $3, '[)')
     where tenant_id = $1 and upper_inf(valid) and address = any($2::text[])`,
    [tenantId, ended.map((address) => address.address), from],
  )
  await transaction.query(
    `insert into client_address (tenant_id, address, client_id, valid)
     select $1, address, client_id, tstzrange($4, null, '[)')
     from unnest($2::text[], $3::text[]) as begun (address, client_id)`,
    [tenantId, begun.map((address) => address.address), begun.map((address) => address.toClientId), from],
  )
}

function addressChange({ address, fromClientId, toClientId }: ChangedAddress, from: Date | null): DirectoryChange {
  if (fromClientId === null) return { kind: 'address-gained', address, clientId: toClientId!, at: from }
  if (toClientId === null) return { kind: 'address-lost', address, clientId: fromClientId, at: from! }
  return { kind: 'address-moved', address, fromClientId, clientId: toClientId, at: from! }
}
