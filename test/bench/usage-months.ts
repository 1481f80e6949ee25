/**
 * One database with three months of usage entries, for the benches of reports and exports.
 *
 * Owns    October: a tenth of the scale's messages; November: all of them, to the same recipients; September: as many
 *         messages, each to a recipient of its own, for an export of as many rows.
 * Why     entries are written by SQL, since no log is asked here; their sums are those of the product, made by its
 *         rebuild. `vacuum analyze` is what autovacuum does within minutes.
 */
import path from 'node:path'
import pg from 'pg'
import { ensureBillingPolicy } from '../../services/billing/billing-policy.ts'
import { usageReport, type UsageGrouping } from '../../services/billing/usage-report.ts'
import { rebuildUsageRollup } from '../../services/billing/usage-rollup.ts'
import { startEmbeddedPostgres } from '../../services/database/embedded-postgres.ts'
import { ensureTenant } from '../../services/database/ensure-tenant.ts'
import { migrate } from '../../services/database/migrate.ts'
import { openDatabase, type Database } from '../../services/database/open-database.ts'
import { readConfig } from '../../services/kit/read-config.ts'
import type { BenchContext } from './bench.ts'
import { transactionCounts } from './sample-log.ts'

export const benchTenant = 'main'
export const months = { single: '2026-09', tenth: '2026-10', whole: '2026-11' } as const
const clientCount = 100

export type UsageMonths = { database: Database; url: string; messageCount: number; close(): Promise<void> }

export function usageMonths(context: BenchContext): Promise<UsageMonths> {
  return context.shared('usage months', load)
}

async function load({ scale, folder, progress }: Pick<BenchContext, 'scale' | 'folder' | 'progress'>): Promise<UsageMonths> {
  const messageCount = transactionCounts[scale]
  // Every one of them has mail also in the month with a tenth of it.
  const recipientCount = Math.min(10_000, messageCount / 100)
  const server = await startEmbeddedPostgres({ folder: path.join(folder, 'postgres') })
  const database = openDatabase(server.url, { applicationName: 'bench' })
  const close = async (): Promise<void> => {
    await database.close()
    await server.stop()
  }
  try {
    await migrate(server.url)
    await ensureTenant(database, benchTenant)
    const reading = readConfig(null, {})
    if ('faults' in reading) throw new Error('the default configuration has faults')
    await ensureBillingPolicy(database, benchTenant, { ...reading.config, billing: { ...reading.config.billing, timeZone: 'UTC' } })
    const owner = new pg.Client({ connectionString: server.url })
    await owner.connect()
    await owner.query(clientsSql, [benchTenant, clientCount])
    await owner.query(`select ensure_partitions('2026-09-01', '2026-11-30')`)
    for (const [label, count, recipients] of [
      [months.single, messageCount, messageCount],
      [months.tenth, messageCount / 10, recipientCount],
      [months.whole, messageCount, recipientCount],
    ] as const) {
      progress(`writing the entries of ${count} messages of ${label}`)
      await owner.query(entriesSql, [benchTenant, `${label}-01T00:00:00Z`, count, recipients, clientCount])
    }
    await owner.query(namesSql, [benchTenant, Math.max(messageCount, recipientCount)])
    await owner.query('vacuum analyze')
    progress('summing them up')
    await rebuildUsageRollup(database, benchTenant)
    await owner.query('vacuum analyze')
    await owner.end()
    return { database, url: server.url, messageCount, close }
  } catch (error) {
    await close()
    throw error
  }
}

const recipientIdSql = (number: string): string => `('00000000-0000-4000-8000-' || lpad(to_hex(${number}), 12, '0'))::uuid`

const clientsSql = `
  insert into client (tenant_id, client_id, name)
  select $1, 'client-' || n, 'Client ' || n || ' Ltd.' from generate_series(0, $2::int - 1) n`
const namesSql = `
  insert into recipient_name (tenant_id, recipient_id, address, domain)
  select $1, ${recipientIdSql('n')}, 'person.' || n || '@domain-' || n % 500 || '.example', 'domain-' || n % 500 || '.example'
  from generate_series(0, $2::bigint - 1) n`
/** One recipient a message. */
const entriesSql = `
  insert into usage_entry (tenant_id, transaction_id, id_time, recipient_id, ended_at, client_id, direction, full_bytes,
    split_bytes, is_billable, reason, size_source)
  select $1, gen_random_uuid(), ended_at, ${recipientIdSql('recipient')}, ended_at, 'client-' || recipient % $5::int,
    'inbound', size, size / 2, recipient % 50 <> 0, case when recipient % 50 = 0 then 'duplicate' end, 'data'
  from (
    select $2::timestamptz + n * (interval '29 days' / $3::bigint) as ended_at,
      (n * 7919::bigint) % $4::bigint as recipient, 1000 + (n * 104729::bigint) % 999000 as size
    from generate_series(0, $3::bigint - 1) n
  ) message`

/** Milliseconds to the last row. */
export async function reportMs(
  { database }: UsageMonths,
  period: string,
  by: UsageGrouping,
  readsEntries: boolean,
): Promise<number> {
  const startedAt = performance.now()
  const report = await usageReport({ database, tenantId: benchTenant, period, by, readsEntries })
  let rowCount = 0
  for await (const rows of report.batches) rowCount += rows.length
  if (rowCount === 0) throw new Error(`the report of ${period} by ${by} is empty`)
  return performance.now() - startedAt
}
