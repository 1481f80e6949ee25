/**
 * The log that the benches of ingest and trace load, and terms that occur in it.
 *
 * Owns  proportions come from event-builder.ts; here: how many transactions a scale has, and which of them are asked for.
 */
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import type { TransactionEnded } from '../../services/contracts/event.ts'
import { LogBuilder } from '../event-builder.ts'
import type { Scale } from './bench.ts'

export const transactionCounts: Record<Scale, number> = { small: 20_000, default: 1_000_000, large: 10_000_000 }
/** Early enough that ten million transactions, some three months of mail, end before today. */
const firstMs = Date.UTC(2026, 5, 1)

export type Sample = Pick<TransactionEnded, 'transactionId' | 'outcome' | 'subject'> & { sender: string; recipient: string }
export type WrittenLog = { lineCount: number; sizeBytes: number; samples: Sample[] }

export function createSampleLog(): LogBuilder {
  return new LogBuilder({ startMs: firstMs })
}

/** Writes the builder's next segment. `sampleCount` of its transactions, spread evenly, are told. */
export async function writeSegment(builder: LogBuilder, file: string, transactionCount: number, sampleCount = 0): Promise<WrittenLog> {
  const out = createWriteStream(file, { highWaterMark: 4_194_304 })
  const samples: Sample[] = []
  const sampleEach = sampleCount === 0 ? Infinity : Math.max(1, Math.floor(transactionCount / sampleCount))
  let lineCount = 0
  let lines = builder.segmentStart()
  const flush = async (): Promise<void> => {
    lineCount += lines.length
    if (!out.write(lines.join(''))) await once(out, 'drain')
    lines = []
  }
  for (let index = 0; index < transactionCount; index += 1) {
    const written = builder.transaction()
    if (index % sampleEach === 0) samples.push(sampleOf(JSON.parse(written[0]!) as TransactionEnded))
    lines.push(...written)
    if (lines.length >= 2_000) await flush()
  }
  await flush()
  out.end()
  await once(out, 'close')
  return { lineCount, sizeBytes: out.bytesWritten, samples }
}

/** First days of the months from the first to the last transaction: what `ensure_partitions` takes. */
export function monthsUpTo(lastMs: number): string[] {
  const months: string[] = []
  for (let month = new Date(firstMs).getUTCMonth(); Date.UTC(2026, month) <= lastMs; month += 1) {
    months.push(new Date(Date.UTC(2026, month)).toISOString().slice(0, 10))
  }
  return months
}

function sampleOf({ transactionId, outcome, subject, sender, recipients }: TransactionEnded): Sample {
  return { transactionId, outcome, subject, sender: sender!, recipient: recipients[0]!.normalized }
}
