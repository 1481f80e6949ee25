/**
 * Corrections: what somebody changed about what is billed, and why (BILLING, Periods).
 *
 * Owns    the rows of correction, and the entries that they append to usage_entry: some take back what stands (2n), some
 *         add (2n + 1), n being the number of the correction. Events and older entries never change.
 * Why     what is corrected is what an entry comes to by now, after earlier corrections: the same one twice finds
 *         nothing the second time.
 * Fails   a CorrectionRefusal says what is wrong with what was asked; nothing is written then.
 */
import type { CorrectionRequest } from '../../contracts/statement.ts'
import type { Database } from '../../database/open-database.ts'
import { takeEntryLock } from '../entry-lock.ts'
import { inTransaction, type SqlTransaction } from '../in-transaction.ts'
import { noteLateCorrection } from '../periods/late-entries.ts'
import { ensurePeriods } from '../periods/period-store.ts'
import { rollUsageCorrection } from '../usage-rollup.ts'

export class CorrectionRefusal extends Error {}

export type WantedCorrection = CorrectionRequest & { by: string }

export type EnteredCorrection = {
  /** `null` for one that was only tried. */
  correctionId: bigint | null
  at: Date | null
  by: string
  why: string
  kind: CorrectionRequest['kind']
  wanted: Record<string, unknown>
  entryCount: bigint
  /** By the closed period that it is for: the one whose statements will show it. */
  shownIn: Record<string, string>
}

export async function enterCorrection(database: Database, tenantId: string, asked: WantedCorrection, now: Date): Promise<EnteredCorrection> {
  const { by, why, kind, dryRun, ...wanted } = asked
  refuseVague(asked)
  return await inTransaction(database, async (transaction) => {
    await takeEntryLock(transaction, tenantId)
    await ensurePeriods(transaction, tenantId, now)
    if (kind === 'reassign') await refuseUnknownClient(transaction, tenantId, asked.toClientId!)
    const found = await findStanding(transaction, tenantId, asked)
    if (found === 0n) throw new CorrectionRefusal(nothingFound[kind])
    const { rows } = await transaction.query<{ correction_id: bigint; at: Date }>(
      `insert into correction (tenant_id, by, why, kind, wanted, entry_count) values ($1, $2, $3, $4, $5, $6) returning correction_id, at`,
      [tenantId, by, why.trim(), kind, JSON.stringify(wanted), found],
    )
    const { correction_id: correctionId, at } = rows[0]!
    await appendEntries(transaction, tenantId, kind, asked.toClientId ?? null, correctionId)
    await refuseUnstated(transaction, tenantId, correctionId)
    const shownIn = await shownInOf(transaction, tenantId, correctionId)
    const entered = { correctionId, at, by, why: why.trim(), kind, wanted, entryCount: found, shownIn }
    if (dryRun !== true) return entered
    throw new Tried({ ...entered, correctionId: null, at: null })
  }).catch((error: unknown) => {
    if (error instanceof Tried) return error.entered
    throw error
  })
}

/** Newest first. */
export async function listCorrections(database: Database, tenantId: string): Promise<EnteredCorrection[]> {
  return await inTransaction(database, async (transaction) => {
    const { rows } = await transaction.query<Omit<EnteredCorrection, 'shownIn'> & { correctionId: bigint }>(
      `select correction_id as "correctionId", at, by, why, kind, wanted, entry_count as "entryCount" from correction
       where tenant_id = $1 order by correction_id desc limit 1000`, [tenantId])
    const listed: EnteredCorrection[] = []
    for (const row of rows) listed.push({ ...row, shownIn: await shownInOf(transaction, tenantId, row.correctionId) })
    return listed
  })
}

/** Rolls back what was only tried. */
class Tried extends Error {
  readonly entered: EnteredCorrection
  constructor(entered: EnteredCorrection) {
    super('only tried')
    this.entered = entered
  }
}

const nothingFound = {
  cancel: 'Nothing billed is found there: look at the message, or at the range of time',
  reassign: 'Nothing is found there that another client would pay for: look at the message, or at the range of time',
  bill: 'Nothing unbilled is found there: look at the message, or at the range of time',
}

function refuseVague({ kind, transactionId, from, upto, recipient, clientId, toClientId }: CorrectionRequest): void {
  if (transactionId !== undefined && !/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i.test(transactionId)) {
    throw new CorrectionRefusal(`"${transactionId.slice(0, 100)}" is no id of a message: write it as the trace shows it`)
  }
  if (transactionId === undefined && (from === undefined || upto === undefined || (recipient === undefined && clientId === undefined))) {
    throw new CorrectionRefusal('Name one message, or a range of time together with an address or a client')
  }
  if (from !== undefined && upto !== undefined && new Date(from) >= new Date(upto)) throw new CorrectionRefusal('The range of time is empty: its end is not behind its begin')
  if ((kind === 'reassign') !== (toClientId !== undefined)) {
    throw new CorrectionRefusal(kind === 'reassign' ? 'Name the client who shall pay, or "house" for nobody' : `Only reassign takes a client who shall pay, not ${kind}`)
  }
}

async function refuseUnknownClient(transaction: SqlTransaction, tenantId: string, clientId: string): Promise<void> {
  if (clientId === 'house') return
  const { rowCount } = await transaction.query('select from client where tenant_id = $1 and client_id = $2', [tenantId, clientId])
  if (rowCount === 0) throw new CorrectionRefusal(`There is no client "${clientId}"`)
}

/** What the entries asked for come to, one row each, in the temporary table `standing`; gives their number. */
async function findStanding(transaction: SqlTransaction, tenantId: string, asked: CorrectionRequest): Promise<bigint> {
  await transaction.query(
    `create temporary table standing on commit drop as
     select transaction_id, id_time, recipient_id, ended_at, client_id, direction, is_billable, reason, size_source,
       sum(full_bytes)::bigint as full_bytes, sum(split_bytes)::bigint as split_bytes
     from usage_entry where false group by 1, 2, 3, 4, 5, 6, 7, 8, 9`)
  const { rowCount } = await transaction.query(
    `insert into standing
     select entry.transaction_id, entry.id_time, entry.recipient_id, entry.ended_at, entry.client_id, entry.direction,
       entry.is_billable, entry.reason, entry.size_source, sum(entry.full_bytes), sum(entry.split_bytes)
     from usage_entry entry
     where entry.tenant_id = $1
       and ($2::uuid is null or entry.transaction_id = $2)
       and ($3::timestamptz is null or entry.ended_at >= $3) and ($4::timestamptz is null or entry.ended_at < $4)
       and ($5::text is null or entry.recipient_id in (select recipient_id from recipient_name where tenant_id = $1 and address = lower($5)))
       and ($6::text is null or entry.client_id = $6 or ($6 = 'house' and entry.client_id is null))
       and case $7 when 'bill' then not entry.is_billable when 'cancel' then entry.is_billable
         else coalesce(entry.client_id, 'house') <> $8 end
     group by 1, 2, 3, 4, 5, 6, 7, 8, 9
     having sum(entry.full_bytes) <> 0`,
    [tenantId, asked.transactionId ?? null, asked.from ?? null, asked.upto ?? null, asked.recipient ?? null, asked.clientId ?? null, asked.kind, asked.toClientId ?? null],
  )
  return BigInt(rowCount ?? 0)
}

async function appendEntries(transaction: SqlTransaction, tenantId: string, kind: CorrectionRequest['kind'], toClientId: string | null, correctionId: bigint): Promise<void> {
  const columns = `tenant_id, transaction_id, id_time, recipient_id, correction, ended_at, client_id, direction, full_bytes, split_bytes,
    is_billable, reason, size_source`
  await transaction.query(
    `insert into usage_entry (${columns})
     select $1, transaction_id, id_time, recipient_id, $2, ended_at, client_id, direction, -full_bytes, -split_bytes, is_billable, reason,
       size_source
     from standing`,
    [tenantId, correctionId * 2n],
  )
  if (kind !== 'cancel') {
    await transaction.query(
      `insert into usage_entry (${columns})
       select $1, transaction_id, id_time, recipient_id, $2, ended_at, case when $3 then nullif($4, 'house') else client_id end, direction,
         full_bytes, split_bytes, $5 or is_billable, case when $5 then null else reason end, size_source
       from standing`,
      [tenantId, correctionId * 2n + 1n, kind === 'reassign', toClientId, kind === 'bill'],
    )
  }
  for (const number of [correctionId * 2n, correctionId * 2n + 1n]) {
    await noteLateCorrection(transaction, tenantId, number)
    await rollUsageCorrection(transaction, tenantId, number)
  }
}

/**
 * A month that is closed is rated by its own plan, and not again once entries of it are removed by age: what a correction
 * would change there without ever standing on a statement is refused.
 */
async function refuseUnstated(transaction: SqlTransaction, tenantId: string, correctionId: bigint): Promise<void> {
  const numbers = [correctionId * 2n, correctionId * 2n + 1n]
  const { rows: removed } = await transaction.query<{ label: string }>(
    `select distinct label from billing_period cut
     join late_entry late on late.tenant_id = cut.tenant_id and late.period = cut.label and late.correction = any ($2)
     where cut.tenant_id = $1 and from_time < (select max(month) + interval '1 month' from retention_removal where tenant_id = $1 and kind = 'usage')
     order by label`,
    [tenantId, numbers],
  )
  if (removed.length > 0) throw new CorrectionRefusal(`Entries of ${removed[0]!.label} are removed by age: it is not rated again`)
  const { rows } = await transaction.query<{ label: string; client_id: string }>(
    `select distinct cut.label, entry.client_id
     from late_entry late
     join usage_entry entry using (tenant_id, transaction_id, id_time, recipient_id, correction)
     join billing_period cut on cut.tenant_id = $1 and cut.label = late.period
     where late.tenant_id = $1 and late.correction = $2 and entry.client_id is not null and not coalesce(cut.plan -> 'carried' ? entry.client_id, false)
     order by 1, 2`,
    [tenantId, numbers[1]],
  )
  if (rows.length > 0) {
    throw new CorrectionRefusal(`${rows[0]!.client_id} carried no tariff when ${rows[0]!.label} was closed: nobody would pay. Name another client, or cancel the entries`)
  }
}

async function shownInOf(transaction: SqlTransaction, tenantId: string, correctionId: bigint): Promise<Record<string, string>> {
  const { rows } = await transaction.query<{ period: string; shown_in: string }>(
    `select distinct period, shown_in from late_entry where tenant_id = $1 and correction between $2 and $3 order by period`,
    [tenantId, correctionId * 2n, correctionId * 2n + 1n],
  )
  return Object.fromEntries(rows.map(({ period, shown_in: shownIn }) => [period, shownIn]))
}
