/**
 * Closing a period: the cut-off, then its statements, then `closed`, for good.
 *
 * Owns    the change of state of billing_period.
 * Why     in two transactions. The cut-off takes the entry lock alone, so that every entry is before it or late; it is
 *         short. Rating reads what the cut-off fixed, so it gives the same however often it is begun: a process that
 *         dies in between is finished by closing again.
 * Fails   a CloseRefusal has what is in the way; nothing is changed then.
 */
import type { Database } from '../../database/open-database.ts'
import { takeEntryLock } from '../entry-lock.ts'
import { inTransaction } from '../in-transaction.ts'
import { writeStatements } from '../statements/write-statements.ts'
import { ratingPlan } from '../tariffs/rating-plan.ts'
import { closeBlockers, type CloseBlocker } from './close-blockers.ts'
import { ensurePeriods, openPeriods, storedPeriods, type AcceptedBlocker, type StoredPeriod } from './period-store.ts'

export class CloseRefusal extends Error {
  readonly blockers: readonly CloseBlocker[]
  constructor(message: string, blockers: readonly CloseBlocker[] = []) {
    super(message)
    this.blockers = blockers
  }
}

export type CloseOptions = {
  database: Database
  tenantId: string
  label: string
  /** Names of blockers that are taken as they are. */
  accepted: readonly string[]
  by: string
  graceHours: number
  now: Date
  /** For tests that end the process in between. */
  onCutOff?: () => Promise<void>
}

export async function closePeriod(options: CloseOptions): Promise<StoredPeriod> {
  const { database, tenantId, label } = options
  const periods = await openPeriods(database, tenantId, options.now)
  const period = periods.find((one) => one.label === label)
  if (period === undefined) {
    const there = periods.map((one) => one.label)
    throw new CloseRefusal(there.length === 0 ? 'There is no period yet: nothing is metered' : `There is no period "${label}": there are ${there.at(0)} to ${there.at(-1)}`)
  }
  if (period.state === 'closed') throw new CloseRefusal(`${label} is closed already, since ${period.closedAt!.toISOString()}`)
  if (period.state === 'open') {
    await cutOff(options, await acceptedBlockers(options, periods, period))
  }
  await options.onCutOff?.()
  await inTransaction(database, async (transaction) => {
    // Two that close at once: the second finds it closed.
    await transaction.query(`select pg_advisory_xact_lock(hashtext('tollgate close'), hashtext($1))`, [tenantId])
    const current = (await storedPeriods(transaction, tenantId)).find((one) => one.label === label)!
    if (current.state === 'closed') return
    const hash = await writeStatements(transaction, tenantId, current)
    await transaction.query(
      `update billing_period set state = 'closed', closed_at = clock_timestamp(), hash = $3 where tenant_id = $1 and label = $2`,
      [tenantId, label, hash],
    )
  })
  return (await openPeriods(database, tenantId, options.now)).find((one) => one.label === label)!
}

/** Those that were accepted by name; throws where another is in the way. */
async function acceptedBlockers(options: CloseOptions, periods: readonly StoredPeriod[], period: StoredPeriod): Promise<AcceptedBlocker[]> {
  const blockers = await closeBlockers({ ...options, periods, period })
  const isAccepted = ({ name, isAcceptable }: CloseBlocker): boolean => isAcceptable && options.accepted.includes(name)
  const unknown = options.accepted.filter((name) => !blockers.some((blocker) => blocker.name === name))
  if (unknown.length > 0) throw new CloseRefusal(`Nothing is called ${unknown.join(', ')}: accept what is in the way by its name`, blockers)
  const open = blockers.filter((blocker) => !isAccepted(blocker))
  if (open.length > 0) throw new CloseRefusal(`${period.label} cannot be closed yet`, open)
  return blockers.map(({ name, text }) => ({ name, text }))
}

async function cutOff({ database, tenantId, label, by, now }: CloseOptions, accepted: readonly AcceptedBlocker[]): Promise<void> {
  await inTransaction(database, async (transaction) => {
    await takeEntryLock(transaction, tenantId)
    const period = (await ensurePeriods(transaction, tenantId, now)).find((one) => one.label === label)!
    if (period.state !== 'open') return
    // Late entries of a month are shown against its rating: that one comes first, whoever closes beside us.
    const { rows: earlier } = await transaction.query<{ label: string }>(
      `select label from billing_period where tenant_id = $1 and label < $2 and state <> 'closed' order by label limit 1`, [tenantId, label])
    if (earlier.length > 0) throw new CloseRefusal(`${label} cannot be closed yet: close ${earlier[0]!.label} first`)
    // What was ingested since the look before: under the lock nobody meters it before the cut-off.
    const { rows } = await transaction.query<{ count: bigint }>(
      `select count(*) as count from ingest_batch b where tenant_id = $1
         and not exists (select from metered_batch m where m.tenant_id = b.tenant_id and m.batch_id = b.batch_id)
         and exists (select from mail_transaction t where t.tenant_id = b.tenant_id and t.batch_id = b.batch_id
           and t.id_time between b.from_time and b.upto_time and t.ended_at < $2)`,
      [tenantId, period.upto],
    )
    if (rows[0]!.count > 0n) throw new CloseRefusal(`${label} cannot be closed yet: mail of it is being metered. Try again in a moment`)
    await transaction.query(
      `update billing_period set state = 'closing', cut_off_at = clock_timestamp(), cut_off_by = $3, accepted = $4, plan = $5
       where tenant_id = $1 and label = $2`,
      [tenantId, label, by, JSON.stringify(accepted), JSON.stringify(await ratingPlan(transaction, tenantId, period))],
    )
  })
}
