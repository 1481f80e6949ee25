/** Everything that ingest writes, in a form that two databases can be compared by. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { openDatabase, type Database } from '../services/database/open-database.ts'

const recipientKey = Buffer.alloc(32, 7)

/** The same key everywhere: recipient ids are then comparable. */
export async function addTenant(database: Database, tenantId = 'main'): Promise<void> {
  await database.pool.query('insert into tenant (tenant_id, recipient_key) values ($1, $2) on conflict do nothing', [tenantId, recipientKey])
}

/** Which batch loaded a row, and what follows from the order of arrival, is left out. */
const snapshots: Record<string, string> = {
  mail_transaction: `select to_jsonb(t) - 'batch_id' as row from mail_transaction t order by transaction_id`,
  transaction_recipient: `select to_jsonb(t) - 'batch_id' as row from transaction_recipient t order by transaction_id, position`,
  rule_hit: 'select to_jsonb(t) as row from rule_hit t order by transaction_id, position',
  transaction_detail: 'select to_jsonb(t) as row from transaction_detail t order by transaction_id',
  delivery_attempt: 'select to_jsonb(t) as row from delivery_attempt t order by boot, seq',
  message_finished: 'select to_jsonb(t) as row from message_finished t order by boot, seq',
  session_closed: 'select to_jsonb(t) as row from session_closed t order by session_id, closed_at',
  gateway_event: 'select to_jsonb(t) as row from gateway_event t order by node, boot, seq',
  policy_version: 'select to_jsonb(t) as row from policy_version t order by part, hash',
  log_boot: 'select to_jsonb(t) as row from log_boot t order by node, boot',
  rejected_line: `select to_jsonb(t) - 'rejected_id' - 'rejected_at' - 'file_name' as row from rejected_line t order by reason, digest, position_bytes`,
  log_source: 'select to_jsonb(t) as row from log_source t order by source, host',
  log_source_thread: 'select to_jsonb(t) as row from log_source_thread t order by thread, has_beginning',
  /** Each transaction in exactly one batch that exists, and every batch with as many as it says. */
  miscounted_batch: `
    select to_jsonb(b) as row from ingest_batch b
    full join (select tenant_id, batch_id, count(*) as count from mail_transaction group by 1, 2) t using (tenant_id, batch_id)
    where coalesce(b.transaction_count, -1) <> coalesce(t.count, 0)`,
}

export type RowSnapshot = Record<string, unknown[]>

export async function snapshotOf(database: Database): Promise<RowSnapshot> {
  const taken: RowSnapshot = {}
  for (const [name, query] of Object.entries(snapshots)) {
    const { rows } = await database.pool.query<{ row: unknown }>(query)
    taken[name] = rows.map((row) => row.row)
  }
  return taken
}

export async function emptyTables(url: string): Promise<void> {
  const owner = openDatabase(url, { applicationName: 'test', role: 'owner', maxConnections: 1 })
  await owner.pool.query(`truncate log_boot, log_segment, log_source, log_source_thread, log_source_file, log_gap_accepted, ingest_batch, rejected_line, policy_version, gateway_event,
    mail_transaction, transaction_recipient, rule_hit, transaction_detail, delivery_attempt, message_finished, session_closed`)
  await owner.close()
}

export async function withTemporaryFolder<Result>(work: (folder: string) => Promise<Result>): Promise<Result> {
  const folder = await mkdtemp(path.join(tmpdir(), 'tollgate-ingest-'))
  try {
    return await work(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Until `condition` holds; the test's own time limit ends it otherwise. */
export async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 50))
}

export async function isIngested(database: Database, boot: string, uptoSeq: number): Promise<boolean> {
  const { rows } = await database.pool.query('select from log_boot where boot = $1 and seqs @> int8range(1, $2)', [boot, uptoSeq + 1])
  return rows.length > 0
}
