/**
 * A trace query as one `select` that an index can answer.
 *
 * Owns    the way from conditions to SQL: exact ids first, one OR spread into a union, bounds of the partitions.
 * Limits  a transaction is found by `after:` while it takes less than `longestTransactionMs` from its id to its end;
 *         at most `mostBranches` selects in a union.
 * Why     Postgres answers `a or b` over two tables only by reading everything. So one OR (a free word, `domain:`,
 *         a client) is spread: the query is run once for each side, each with its own index, order and limit. The
 *         newest n of the union are among the newest n of its sides.
 */
import { sql, type RawBuilder } from 'kysely'
import type { TraceQuery } from '../../contracts/trace-query.ts'
import { timeMsOfPoint, type TraceClock } from '../../contracts/trace-time.ts'
import { isTransactionId } from '../../contracts/transaction-id.ts'
import {
  conditionOf,
  conditionSql,
  idCondition,
  idTimeBounds,
  scopeCondition,
  type TraceCondition,
} from './trace-condition.ts'
import type { TraceScope } from './trace-scope.ts'

export type TraceSearch = {
  tenantId: string
  scope: TraceScope
  query: TraceQuery
  clock: TraceClock
  lowersLocalPart: boolean
}

/** The partitioning time is the one inside the id, taken when a transaction begins; `after:` is about its end. */
export const longestTransactionMs = 86_400_000
/** A clock that was set back while the transaction ran ends it before it began. */
const clockStepMs = 3_600_000
const mostBranches = 16

export type SelectOptions = {
  /** Columns of `mail_transaction t`, which tell two transactions apart. */
  columns: RawBuilder<unknown>
  /** Newest first, so many; `null`: all, in no order. */
  limit: number | null
  /** Only what comes after this place. */
  after?: { idTimeMs: number; transactionId: string } | null
  /** Beside what the query names; half-open, of ended_at. */
  range?: { fromMs: number; uptoMs: number }
}

export function traceSelect(search: TraceSearch, options: SelectOptions): RawBuilder<unknown> {
  const ids = exactIds(search.query)
  // An exact id overrides every other term, but never the scope.
  const range =
    ids.length > 0 ? { fromMs: null, uptoMs: null } : timeRangeOf(search.query, search.clock, options.range)
  const after = options.after ?? null
  const bounds = {
    fromMs: range.fromMs === null ? null : range.fromMs - longestTransactionMs,
    uptoMs: least(
      range.uptoMs === null ? null : range.uptoMs + clockStepMs,
      after === null ? null : after.idTimeMs + 1,
    ),
  }
  const terms = { ...search, ...bounds, startsFromHas: startsFromHas(search.query) }
  const scope = scopeCondition(search.scope)
  const conjuncts = [
    ...(ids.length > 0 ? [anyId(ids)] : conjunctsOf(conditionOf(search.query, terms))),
    ...(ids.length > 0 || options.range === undefined ? [] : [endedWithin(options.range)]),
    ...(scope === null ? [] : [scope]),
  ]
  const place =
    after === null
      ? sql``
      : sql` and (t.id_time, t.transaction_id) < (${new Date(after.idTimeMs)}, ${after.transactionId}::uuid)`
  const order =
    options.limit === null ? sql`` : sql` order by t.id_time desc, t.transaction_id desc limit ${options.limit}`
  const selects = branchesOf(conjuncts).map(
    (branch) => sql`select ${options.columns} from mail_transaction t
    where t.tenant_id = ${search.tenantId}${idTimeBounds(sql`t.id_time`, bounds)}${place}
      and ${conditionSql({ kind: 'and', parts: branch })}${order}`,
  )
  if (selects.length === 1) return selects[0]!
  const union = sql.join(
    selects.map((select) => sql`(${select})`),
    sql` union `,
  )
  if (options.limit === null) return union
  return sql`select * from (${union}) as found order by id_time desc, transaction_id desc limit ${options.limit}`
}

/** The ids that the query names as a whole: its root, or a term joined to the rest by AND. */
export function exactIds(query: TraceQuery): string[] {
  const terms = query.kind === 'and' ? query.parts : [query]
  const ids = terms.flatMap((term) => {
    if (term.kind === 'id') return [term.id]
    const isId = term.kind === 'word' && isTransactionId(term.pattern.text.toLowerCase())
    return isId ? [term.pattern.text.toLowerCase()] : []
  })
  return [...new Set(ids)]
}

function startsFromHas(query: TraceQuery): boolean {
  const parts = query.kind === 'and' ? query.parts : [query]
  return parts.every((part) => part.kind === 'time' || (part.kind === 'words' && ['has', 'verdict', 'stage'].includes(part.key)))
}

function anyId(ids: string[]): TraceCondition {
  return ids.length === 1 ? idCondition(ids[0]!) : { kind: 'or', parts: ids.map(idCondition) }
}

function endedWithin({ fromMs, uptoMs }: { fromMs: number; uptoMs: number }): TraceCondition {
  return {
    kind: 'test',
    isSelective: false,
    test: sql<boolean>`t.ended_at >= ${new Date(fromMs)} and t.ended_at < ${new Date(uptoMs)}`,
  }
}

type MaybeRange = { fromMs: number | null; uptoMs: number | null }

/** Bounds of ended_at that hold for every row the query can match. */
export function timeRangeOf(
  query: TraceQuery,
  clock: TraceClock,
  within?: { fromMs: number; uptoMs: number },
): MaybeRange {
  const range = rangeOf(query, clock)
  return within === undefined
    ? range
    : { fromMs: most(range.fromMs, within.fromMs), uptoMs: least(range.uptoMs, within.uptoMs) }
}

function rangeOf(query: TraceQuery, clock: TraceClock): MaybeRange {
  if (query.kind === 'time') {
    const timeMs = timeMsOfPoint(query.point, clock)
    return query.key === 'after' ? { fromMs: timeMs, uptoMs: null } : { fromMs: null, uptoMs: timeMs }
  }
  if (query.kind === 'and') {
    return query.parts
      .map((part) => rangeOf(part, clock))
      .reduce((one, other) => ({ fromMs: most(one.fromMs, other.fromMs), uptoMs: least(one.uptoMs, other.uptoMs) }))
  }
  if (query.kind === 'or') {
    return query.parts
      .map((part) => rangeOf(part, clock))
      .reduce((one, other) => ({
        fromMs: one.fromMs === null || other.fromMs === null ? null : Math.min(one.fromMs, other.fromMs),
        uptoMs: one.uptoMs === null || other.uptoMs === null ? null : Math.max(one.uptoMs, other.uptoMs),
      }))
  }
  return { fromMs: null, uptoMs: null }
}

function least(one: number | null, other: number | null): number | null {
  return one === null ? other : other === null ? one : Math.min(one, other)
}

function most(one: number | null, other: number | null): number | null {
  return one === null ? other : other === null ? one : Math.max(one, other)
}

function conjunctsOf(condition: TraceCondition): TraceCondition[] {
  return condition.kind === 'and' ? condition.parts.flatMap(conjunctsOf) : [condition]
}

/** The conjunction as alternatives that together match the same rows; one where nothing is to be gained. */
function branchesOf(conjuncts: TraceCondition[]): TraceCondition[][] {
  if (conjuncts.some((conjunct) => conjunct.kind === 'test' && conjunct.isSelective)) return [conjuncts]
  const spread = conjuncts.find((conjunct) => conjunct.kind === 'or' && conjunct.parts.every(isSelective))
  if (spread === undefined || spread.kind !== 'or') return [conjuncts]
  const rest = conjuncts.filter((conjunct) => conjunct !== spread)
  const sides = spread.parts.flatMap((part) => (part.kind === 'or' ? part.parts : [part]))
  return sides.length > mostBranches ? [conjuncts] : sides.map((side) => [side, ...rest])
}

function isSelective(condition: TraceCondition): boolean {
  if (condition.kind === 'test') return condition.isSelective
  if (condition.kind === 'not') return false
  return condition.kind === 'and' ? condition.parts.some(isSelective) : condition.parts.every(isSelective)
}
