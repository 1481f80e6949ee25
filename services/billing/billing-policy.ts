/**
 * How a tenant's traffic is counted, by date: table billing_policy.
 *
 * Owns    the rows of billing_policy; they are appended, never changed.
 * Limits  unit, zone and currency change where a period begins, the rest from now on; until something is metered
 *         everything may still change from the beginning of time.
 * Fails   a zone that does not exist is a RangeError that names the setting.
 */
import { isTimeZone } from '../contracts/period.ts'
import { unitBytesOf } from '../contracts/byte-unit.ts'
import type { MeteringMode } from '../contracts/vocabulary.ts'
import type { Database } from '../database/open-database.ts'
import type { Config } from '../kit/config.ts'
import { billingPeriodAt } from './billing-period.ts'
import { earliestChangeAt, newestEntryAt, takeEntryLock } from './entry-lock.ts'
import { inTransaction, type SqlTransaction } from './in-transaction.ts'

export type BillingPolicy = {
  /** `null`: from the beginning of time. */
  validFrom: Date | null
  mode: MeteringMode
  unitBytes: number
  timeZone: string
  currency: string
  billsRefusedContent: boolean
  billsDuplicates: boolean
  lowersLocalPart: boolean
}

export type PolicySettings = Pick<Config, 'billing' | 'recipients'>

/** Makes the stored policy what the configuration says. Concurrent callers wait for each other. */
export async function ensureBillingPolicy(
  database: Database,
  tenantId: string,
  settings: PolicySettings,
  now: Date = new Date(),
): Promise<void> {
  const wanted = policyOf(settings)
  await inTransaction(database, async (transaction) => {
    await takeEntryLock(transaction, tenantId)
    const stored = await storedPolicies(transaction, tenantId)
    const newest = await newestEntryAt(transaction, tenantId)
    if (stored.length === 0 || (newest === null && stored.every((policy) => policy.validFrom === null))) {
      if (!isSamePolicy(stored.at(-1), wanted))
        await insertPolicy(transaction, tenantId, { ...wanted, validFrom: null })
      return
    }
    const changeAt = earliestChangeAt(now, [newest])
    const current = policyAt(stored, changeAt)
    const fromNow = {
      ...wanted,
      unitBytes: current.unitBytes,
      timeZone: current.timeZone,
      currency: current.currency,
    }
    if (!isSamePolicy(current, fromNow))
      await insertPolicy(transaction, tenantId, { ...fromNow, validFrom: changeAt })
    // A row that waits for the next period was made for other settings: it is overruled there, not changed.
    const nextPeriodFrom = billingPeriodAt(stored, changeAt).upto
    const waiting = stored.find((policy) => policy.validFrom?.getTime() === nextPeriodFrom.getTime())
    if (!isSamePolicy(waiting ?? fromNow, wanted)) {
      await insertPolicy(transaction, tenantId, { ...wanted, validFrom: nextPeriodFrom })
    }
  })
}

/** Oldest first, one a date, never empty: a tenant without a policy is an error. */
export async function billingPolicies(database: Database, tenantId: string): Promise<BillingPolicy[]> {
  return await inTransaction(database, async (transaction) => await requiredPolicies(transaction, tenantId))
}

export async function requiredPolicies(transaction: SqlTransaction, tenantId: string): Promise<BillingPolicy[]> {
  const policies = await storedPolicies(transaction, tenantId)
  if (policies.length === 0) {
    throw new Error(
      `Tenant "${tenantId}" has no billing policy yet: start the worker (tollgate worker or tollgate up) once`,
    )
  }
  return policies
}

/** The policy that holds for a message of this time. `policies` as `billingPolicies` gives them. */
export function policyAt(policies: readonly BillingPolicy[], time: Date): BillingPolicy {
  const found = policies.findLast(
    (policy) => policy.validFrom === null || policy.validFrom.getTime() <= time.getTime(),
  )
  if (found === undefined) throw new Error('The first billing policy does not begin at the beginning of time')
  return found
}

async function storedPolicies(transaction: SqlTransaction, tenantId: string): Promise<BillingPolicy[]> {
  const { rows } = await transaction.query<Omit<BillingPolicy, 'unitBytes'> & { unitBytes: bigint }>(
    `select distinct on (billing_policy.valid_from)
       case when isfinite(billing_policy.valid_from) then billing_policy.valid_from end as "validFrom",
       mode, unit_bytes as "unitBytes", time_zone as "timeZone", currency,
       bills_refused_content as "billsRefusedContent", bills_duplicates as "billsDuplicates",
       lowers_local_part as "lowersLocalPart"
     from billing_policy where tenant_id = $1
     order by billing_policy.valid_from, revision desc`,
    [tenantId],
  )
  return rows.map((row) => ({ ...row, unitBytes: Number(row.unitBytes) }))
}

async function insertPolicy(transaction: SqlTransaction, tenantId: string, policy: BillingPolicy): Promise<void> {
  await transaction.query(
    `insert into billing_policy (tenant_id, valid_from, revision, mode, unit_bytes, time_zone, currency,
       bills_refused_content, bills_duplicates, lowers_local_part)
     select $1::text, $2::timestamptz, count(*) + 1, $3, $4, $5, $6, $7, $8, $9
     from billing_policy where tenant_id = $1 and valid_from = $2`,
    [
      tenantId,
      policy.validFrom ?? '-infinity',
      policy.mode,
      policy.unitBytes,
      policy.timeZone,
      policy.currency,
      policy.billsRefusedContent,
      policy.billsDuplicates,
      policy.lowersLocalPart,
    ],
  )
}

/** The policy that the settings ask for. Throws a RangeError for a zone that does not exist. */
export function policyOf({ billing, recipients }: PolicySettings): Omit<BillingPolicy, 'validFrom'> {
  if (!isTimeZone(billing.timeZone)) {
    throw new RangeError(`billing.timeZone: "${billing.timeZone}" is no IANA time zone: write one like Europe/Berlin`)
  }
  return {
    mode: billing.mode,
    unitBytes: unitBytesOf[billing.unit],
    timeZone: billing.timeZone,
    currency: billing.currency,
    billsRefusedContent: billing.billRefusedContent,
    billsDuplicates: billing.billDuplicates,
    lowersLocalPart: recipients.lowerCaseLocalPart,
  }
}

function isSamePolicy(a: Omit<BillingPolicy, 'validFrom'> | undefined, b: Omit<BillingPolicy, 'validFrom'>): boolean {
  return (
    a !== undefined &&
    a.mode === b.mode &&
    a.unitBytes === b.unitBytes &&
    a.timeZone === b.timeZone &&
    a.currency === b.currency &&
    a.billsRefusedContent === b.billsRefusedContent &&
    a.billsDuplicates === b.billsDuplicates &&
    a.lowersLocalPart === b.lowersLocalPart
  )
}
