/**
 * Tariffs, their versions and who carries them.
 *
 * Owns    the rows of tariff, tariff_version and tariff_assignment.
 * Why     versions are appended and never changed, so what was rated can be rated again. A version or an assignment
 *         holds from the start of a day in the tenant's zone, and from no day before the first that is not cut off:
 *         what a statement was made of never changes behind it.
 * Fails   a TariffRefusal says what is wrong and what to do; nothing is written then.
 */
import type { TariffDefinition } from '../../contracts/tariff.ts'
import type { Database } from '../../database/open-database.ts'
import { requiredPolicies } from '../billing-policy.ts'
import { takeEntryLock } from '../entry-lock.ts'
import { inTransaction, type SqlTransaction } from '../in-transaction.ts'
import { dayStart } from './day-start.ts'
import { faultsOfTariff } from './faults-of-tariff.ts'

export class TariffRefusal extends Error {}

/** `validFrom` `null`: from the beginning of time. */
export type TariffVersion = { version: number; validFrom: Date | null; definition: TariffDefinition; createdBy: string; createdAt: Date }
export type Tariff = { tariffId: string; versions: TariffVersion[] }
export type Assignment = { clientId: string; tariffId: string; from: Date | null; upto: Date | null }

type Store = { database: Database; tenantId: string }

/** The first version holds from the beginning of time, a later one from the start of `from`, a day like 2026-11-01. */
export async function addTariffVersion(
  { database, tenantId }: Store,
  wanted: { tariffId: string; definition: unknown; from: string | null; by: string },
): Promise<TariffVersion> {
  const { tariffId, definition, from, by } = wanted
  if (!/^[a-z0-9][a-z0-9._-]{0,62}$/.test(tariffId)) {
    throw new TariffRefusal(`"${tariffId}" is no name of a tariff: write lower-case letters, digits, ".", "_" and "-", like office-2026`)
  }
  const faults = faultsOfTariff(definition)
  if (faults.length > 0) throw new TariffRefusal(`The tariff ${tariffId} has faults: ${faults.join('; ')}`)
  return await inTransaction(database, async (transaction) => {
    await takeEntryLock(transaction, tenantId)
    const versions = await versionsOf(transaction, tenantId, tariffId)
    if (versions.length > 0 && from === null) {
      throw new TariffRefusal(`The tariff ${tariffId} exists: name the day from which the new version shall hold`)
    }
    const validFrom = from === null ? '-infinity' : await changeDay(transaction, tenantId, from)
    await transaction.query('insert into tariff (tenant_id, tariff_id) values ($1, $2) on conflict do nothing', [tenantId, tariffId])
    await transaction.query(
      `insert into tariff_version (tenant_id, tariff_id, version, valid_from, definition, created_by) values ($1, $2, $3, $4, $5, $6)`,
      [tenantId, tariffId, versions.length + 1, validFrom, definition, by],
    )
    return (await versionsOf(transaction, tenantId, tariffId)).find(({ version }) => version === versions.length + 1)!
  })
}

export async function listTariffs({ database, tenantId }: Store): Promise<Tariff[]> {
  return await inTransaction(database, (transaction) => storedTariffs(transaction, tenantId))
}

/** In order of their names, versions oldest first. */
export async function storedTariffs(transaction: SqlTransaction, tenantId: string): Promise<Tariff[]> {
  const tariffs = new Map<string, TariffVersion[]>()
  for (const { tariffId, ...version } of await versionRows(transaction, tenantId, null)) {
    tariffs.set(tariffId, [...(tariffs.get(tariffId) ?? []), version])
  }
  return [...tariffs].map(([tariffId, versions]) => ({ tariffId, versions }))
}

/** From the start of a day on the client carries this tariff, or with `null` none of its own. */
export async function assignTariff(
  { database, tenantId }: Store,
  wanted: { clientId: string; tariffId: string | null; from: string | null; by: string },
): Promise<Assignment[]> {
  const { clientId, tariffId, from, by } = wanted
  return await inTransaction(database, async (transaction) => {
    await takeEntryLock(transaction, tenantId)
    const { rowCount } = await transaction.query('select from client where tenant_id = $1 and client_id = $2', [tenantId, clientId])
    if (rowCount === 0) throw new TariffRefusal(`There is no client "${clientId}": tollgate clients list shows them`)
    if (tariffId !== null && (await versionsOf(transaction, tenantId, tariffId)).length === 0) {
      throw new TariffRefusal(`There is no tariff "${tariffId}": tollgate tariff list shows them`)
    }
    const before = (await storedAssignments(transaction, tenantId)).filter((assignment) => assignment.clientId === clientId)
    if (from === null && before.length > 0) {
      throw new TariffRefusal(`The client ${clientId} carries a tariff: name the day from which the change shall hold`)
    }
    const validFrom = from === null ? await firstOpenTime(transaction, tenantId) ?? '-infinity' : await changeDay(transaction, tenantId, from)
    await transaction.query('delete from tariff_assignment where tenant_id = $1 and client_id = $2 and lower(valid) >= $3', [tenantId, clientId, validFrom])
    await transaction.query(
      `update tariff_assignment set valid = tstzrange(lower(valid), $3)
       where tenant_id = $1 and client_id = $2 and valid @> $3::timestamptz`, [tenantId, clientId, validFrom])
    if (tariffId !== null) {
      await transaction.query(
        `insert into tariff_assignment (tenant_id, client_id, tariff_id, valid, assigned_by)
         values ($1, $2, $3, tstzrange($4::timestamptz, null), $5)`, [tenantId, clientId, tariffId, validFrom, by])
    }
    return (await storedAssignments(transaction, tenantId)).filter((assignment) => assignment.clientId === clientId)
  })
}

export async function listAssignments({ database, tenantId }: Store): Promise<Assignment[]> {
  return await inTransaction(database, (transaction) => storedAssignments(transaction, tenantId))
}

export async function storedAssignments(transaction: SqlTransaction, tenantId: string): Promise<Assignment[]> {
  const { rows } = await transaction.query<Assignment>(
    `select client_id as "clientId", tariff_id as "tariffId",
       case when isfinite(lower(valid)) then lower(valid) end as "from", upper(valid) as "upto"
     from tariff_assignment where tenant_id = $1 order by client_id, valid`, [tenantId])
  return rows
}

async function versionsOf(transaction: SqlTransaction, tenantId: string, tariffId: string): Promise<TariffVersion[]> {
  return await versionRows(transaction, tenantId, tariffId)
}

async function versionRows(transaction: SqlTransaction, tenantId: string, tariffId: string | null): Promise<(TariffVersion & { tariffId: string })[]> {
  const { rows } = await transaction.query<TariffVersion & { tariffId: string }>(
    `select tariff_id as "tariffId", version, case when isfinite(valid_from) then valid_from end as "validFrom", definition,
       created_by as "createdBy", created_at as "createdAt"
     from tariff_version where tenant_id = $1 and ($2::text is null or tariff_id = $2) order by tariff_id, version`, [tenantId, tariffId])
  return rows
}

/** The start of a day, that lies in no period that is cut off. */
async function changeDay(transaction: SqlTransaction, tenantId: string, day: string): Promise<Date> {
  const at = dayStart(await requiredPolicies(transaction, tenantId), day)
  const earliest = await firstOpenTime(transaction, tenantId)
  if (earliest !== null && at < earliest) {
    throw new TariffRefusal(`${day} lies in a period that is closed: choose a day from ${earliest.toISOString()} on, or enter a correction`)
  }
  return at
}

/** The end of the newest period that is cut off, `null` before the first. */
async function firstOpenTime(transaction: SqlTransaction, tenantId: string): Promise<Date | null> {
  const { rows } = await transaction.query<{ upto: Date | null }>(
    `select max(upto_time) as upto from billing_period where tenant_id = $1 and state <> 'open'`, [tenantId])
  return rows[0]?.upto ?? null
}
