/** What a period holds, summed up for rating: billed octets by client, direction and part of the plan. */
import type { Direction, MeteringMode } from '../../contracts/vocabulary.ts'
import type { SqlTransaction } from '../in-transaction.ts'
import type { RatingPlan } from './rating-plan.ts'

/** `part`: position in the parts of the plan. Clients alone: the house is never invoiced. */
export type Quantity = { clientId: string; direction: Direction; part: number; octets: bigint }

/**
 * In order of client, direction and part. `shownUpto`: of the entries that came late, those that are shown in the
 * statements of a period up to this one; `null` for all.
 */
export async function gatherQuantities(
  transaction: SqlTransaction,
  tenantId: string,
  plan: RatingPlan,
  shownUpto: string | null,
): Promise<Quantity[]> {
  const modes: MeteringMode[] = plan.parts.map(({ mode }) => mode)
  const { rows } = await transaction.query<Quantity>(
    `select client_id as "clientId", direction, part,
       sum(case when ($5::text[])[part + 1] = 'split' then split_bytes else full_bytes end)::bigint as octets
     from (
       select entry.*, width_bucket(entry.ended_at, $4::timestamptz[]) - 1 as part
       from usage_entry entry
       where entry.tenant_id = $1 and entry.ended_at >= $2 and entry.ended_at < $3
         and entry.is_billable and entry.client_id is not null
         and ($6::text is null or not exists (select from late_entry late
           where late.tenant_id = entry.tenant_id and late.transaction_id = entry.transaction_id
             and late.id_time = entry.id_time and late.recipient_id = entry.recipient_id
             and late.correction = entry.correction and late.shown_in > $6))
     ) parted
     group by client_id, direction, part
     order by client_id collate "C", direction collate "C", part`,
    [tenantId, plan.from, plan.upto, plan.parts.map(({ from }) => from), modes, shownUpto],
  )
  return rows
}
