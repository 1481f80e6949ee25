/**
 * The ingest service: follows the event log of every node and loads it into Postgres, each event once.
 *
 * Owns    start and stop.
 * Fails   while Postgres is away it waits, and the log waits on disk; a mistake of ours ends the process.
 */
import path from 'node:path'
import type { Config } from '../kit/config.ts'
import type { Logger } from '../kit/operator-log.ts'
import type { RunningService } from '../kit/running-service.ts'
import { ensureTenant } from '../database/ensure-tenant.ts'
import type { Database } from '../database/open-database.ts'
import { followNode } from './follow-node.ts'
import { whenDatabaseIsThere, type Loader } from './load-batch.ts'
import { openLogFolder } from './log-folder.ts'
import { createPartitions } from './partitions.ts'
import { createRecipientIds } from './recipient-id.ts'
import type { LoadContext } from './store-batch.ts'

export type IngestServiceOptions = {
  config: Pick<Config, 'tenant' | 'data'>
  database: Database
  log: Logger
  onStep?: LoadContext['onStep']
}

const scanIntervalMs = 1_000
const lingerMs = 200

export async function startIngest(options: IngestServiceOptions): Promise<RunningService> {
  const stopping = new AbortController()
  const running = follow(options, stopping.signal).catch((error: unknown) => {
    if (stopping.signal.aborted) return
    options.log.fatal({ err: error }, 'ingest failed')
    // Out of the promise, so that it ends the process like any other mistake of ours.
    setImmediate(() => {
      throw error
    })
  })
  return {
    stop: async () => {
      stopping.abort()
      await running
    },
  }
}

async function follow({ config, database, log, onStep }: IngestServiceOptions, signal: AbortSignal): Promise<void> {
  const folder = await openLogFolder(path.join(config.data, 'events'), config.tenant, log)
  try {
    const tenant = await whenDatabaseIsThere({ log, signal }, () => ensureTenant(database, config.tenant))
    const loader: Loader = {
      database,
      tenantId: config.tenant,
      recipientIds: createRecipientIds(tenant.recipientKey),
      partitions: createPartitions(database),
      log,
      signal,
      ...(onStep === undefined ? {} : { onStep }),
    }
    const followed = new Map<string, Promise<void>>()
    let crash: { error: unknown } | null = null
    while (!signal.aborted && crash === null) {
      await folder.scan()
      for (const node of folder.nodes()) {
        if (followed.has(node)) continue
        const work = followNode({ loader, folder, node, lingerMs, signal }).catch((error: unknown) => {
          if (!signal.aborted) crash ??= { error }
        })
        followed.set(node, work)
      }
      await folder.idle(scanIntervalMs, signal)
    }
    if (crash !== null) throw (crash as { error: unknown }).error
    await Promise.all(followed.values())
  } finally {
    folder.close()
  }
}
