/**
 * Takes in one file of the event log, of any size, from its first line: `tollgate ingest FILE`.
 *
 * Why    from the first line, also where the segment is known: then every known line is compared to what is stored,
 *        and a file whose content was changed is found out.
 * Fails  an unreadable, damaged or too new file throws with the remedy; what was read before the fault is ingested.
 */
import { stat } from 'node:fs/promises'
import path from 'node:path'
import { ensureTenant } from '../database/ensure-tenant.ts'
import type { Database } from '../database/open-database.ts'
import type { Logger } from '../kit/operator-log.ts'
import type { BatchLimits } from './batch.ts'
import { bulkLimits, ingestChunks } from './ingest-chunks.ts'
import type { Loader } from './load-batch.ts'
import { createPartitions } from './partitions.ts'
import { createRecipientIds } from './recipient-id.ts'
import { compressionOf, openLog, readHead } from './segment-file.ts'
import { noCounts, sumOfCounts, type LoadContext, type StoredCounts } from './store-batch.ts'

export type IngestFileOptions = {
  database: Database
  tenantId: string
  path: string
  log?: Logger
  /** Octets of the file, packed as it is. */
  onProgress?: (doneBytes: number, totalBytes: number) => void
  signal?: AbortSignal
  /** What one batch holds at most. */
  limits?: BatchLimits
  onStep?: LoadContext['onStep']
}

export type IngestSummary = StoredCounts & { sizeBytes: number }

export async function ingestFile(options: IngestFileOptions): Promise<IngestSummary> {
  const { database, tenantId, log, onProgress } = options
  const { size } = await stat(options.path)
  const compression = await compressionOf(options.path)
  const tenant = await ensureTenant(database, tenantId)
  const loader: Loader = {
    database,
    tenantId,
    recipientIds: createRecipientIds(tenant.recipientKey),
    partitions: createPartitions(database),
    log: log ?? null,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    ...(options.onStep === undefined ? {} : { onStep: options.onStep }),
  }
  const head = await readHead(options.path, compression, tenantId)
  if (head.state === 'newer') {
    throw new Error(`${options.path} was written by a newer Tollgate (${head.detail}): update this one, then ingest it again`)
  }

  let doneBytes = 0
  const chunks = openLog(options.path, compression, 0, (sizeBytes) => onProgress?.((doneBytes += sizeBytes), size))
  const summary: IngestSummary = { ...noCounts, sizeBytes: size }
  await ingestChunks(loader, { chunks, fileName: path.basename(options.path), startBytes: 0, header: null }, {
    limits: options.limits ?? bulkLimits,
    lingerMs: null,
    isComplete: () => true,
    onStored: (counts) => Object.assign(summary, sumOfCounts(summary, counts)),
  })
  return summary
}
