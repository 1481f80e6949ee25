/** The queries that the trace benches ask, through the search that the API uses, and how long each takes. */
import { parseTraceQuery } from '../../services/contracts/trace-query.ts'
import type { Database } from '../../services/database/open-database.ts'
import { searchMessages } from '../../services/api/trace/search-messages.ts'
import type { Sample } from './sample-log.ts'

export const queryKinds = ['recipient', 'domain', 'subject', 'id', 'three-keys'] as const
export type QueryKind = (typeof queryKinds)[number]

/** Rows of one page in the web UI. */
const pageRows = 100

/** The words that must all stand in a line of the raw log, as `rg` looks for them; the rarest first. */
export function wordsOf(kind: QueryKind, sample: Sample): string[] {
  const domain = sample.sender.slice(sample.sender.indexOf('@'))
  if (kind === 'recipient') return [sample.recipient]
  if (kind === 'domain') return [domain]
  if (kind === 'subject') return [subjectPart(sample)]
  if (kind === 'id') return [sample.transactionId]
  return [sample.recipient, domain, `"outcome":"${sample.outcome}"`]
}

export function queryOf(kind: QueryKind, sample: Sample): string {
  const words = wordsOf(kind, sample)
  if (kind === 'recipient') return `to:${words[0]}`
  if (kind === 'domain') return `from:${words[0]}`
  if (kind === 'subject') return `subject:"${words[0]}"`
  if (kind === 'id') return `id:${words[0]}`
  return `to:${words[0]} from:${words[1]} verdict:${sample.outcome}`
}

/** From the middle of a word to the middle of the number behind it: no index on words would find it. */
function subjectPart({ subject }: Sample): string {
  return subject!.slice(3, -1)
}

export function samplesFor(kind: QueryKind, samples: readonly Sample[]): Sample[] {
  return kind === 'subject' ? samples.filter((sample) => sample.subject !== null) : [...samples]
}

/** One query after the other, each for another sample; ms. Each must find something. */
export async function traceTimes(
  { database, nowMs }: { database: Database; nowMs: number },
  kind: QueryKind,
  samples: readonly Sample[],
): Promise<number[]> {
  const times: number[] = []
  for (const sample of samplesFor(kind, samples)) {
    const text = queryOf(kind, sample)
    const parsed = parseTraceQuery(text)
    if (!('query' in parsed)) throw new Error(`"${text}" is no query`)
    const startMs = performance.now()
    const { rows } = await searchMessages({
      database, nowMs, tenantId: 'main', scope: { clientId: null }, query: parsed.query, timeZone: 'UTC', lowersLocalPart: true, cursor: null, limit: pageRows,
    })
    times.push(performance.now() - startMs)
    if (rows.length === 0) throw new Error(`"${text}" found nothing, though it stands in the log`)
  }
  return times
}

export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((left, right) => left - right)
  return sorted[Math.min(sorted.length - 1, Math.ceil((sorted.length * percent) / 100) - 1)]!
}
