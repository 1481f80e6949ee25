/** The partitions that exist, with their sizes, and which of them a policy lets go next. */
import type { Database } from '../open-database.ts'
import type { RetentionPolicy } from './retention-policy.ts'

export type Partition = { table: string; monthStart: Date; sizeBytes: bigint }
export type RemovalKind = 'details' | 'subjects' | 'messages' | 'usage'
/** `at`: the moment from which the whole month is past its date. */
export type DueRemoval = { kind: RemovalKind; monthStart: Date; at: Date }

const dayMs = 86_400_000

/** Oldest month first. Size: heap, indexes and what is stored out of line. */
export async function listPartitions(database: Database): Promise<Partition[]> {
  const { rows } = await database.pool.query<{ table: string; month: string; size: bigint }>(
    `select parent.relname as table, right(child.relname, 7) as month, pg_total_relation_size(child.oid) as size
     from pg_inherits i
     join pg_class parent on parent.oid = i.inhparent and parent.relkind = 'p'
     join pg_class child on child.oid = i.inhrelid
     where parent.relnamespace = 'public'::regnamespace and child.relname ~ '_[0-9]{4}_[0-9]{2}$'
     order by month, parent.relname`,
  )
  return rows.map(({ table, month, size }) => ({ table, monthStart: monthStartOf(month), sizeBytes: size }))
}

/** `2026_11` */
function monthStartOf(text: string): Date {
  return new Date(Date.UTC(Number(text.slice(0, 4)), Number(text.slice(5)) - 1, 1))
}

const kindOfTable: Record<string, RemovalKind> = {
  rule_hit: 'details',
  transaction_detail: 'details',
  delivery_attempt: 'messages',
  mail_transaction: 'messages',
  message_finished: 'messages',
  session_closed: 'messages',
  transaction_recipient: 'messages',
  usage_entry: 'usage',
}

/** Every removal that is ahead, soonest first. Details go at the latest with their messages. */
export function dueRemovals(partitions: readonly Partition[], policy: RetentionPolicy): DueRemoval[] {
  const days: Record<RemovalKind, number | null> = {
    details: policy.detail === null || policy.message === null ? (policy.detail ?? policy.message) : Math.min(policy.detail, policy.message),
    subjects: policy.subject,
    messages: policy.message,
    usage: policy.usage,
  }
  const found = new Map<string, DueRemoval>()
  const add = (kind: RemovalKind, monthStart: Date): void => {
    const kept = days[kind]
    if (kept === null) return
    const monthEndMs = Date.UTC(monthStart.getUTCFullYear(), monthStart.getUTCMonth() + 1, 1)
    found.set(`${kind} ${monthStart.getTime()}`, { kind, monthStart, at: new Date(monthEndMs + kept * dayMs) })
  }
  for (const { table, monthStart } of partitions) {
    const kind = kindOfTable[table]
    if (kind !== undefined) add(kind, monthStart)
    // What goes whole by then needs no emptying.
    if (table === 'mail_transaction' && (days.messages === null || (days.subjects ?? Infinity) < days.messages)) add('subjects', monthStart)
  }
  return [...found.values()].sort((one, other) => one.at.getTime() - other.at.getTime() || (one.kind < other.kind ? -1 : 1))
}
