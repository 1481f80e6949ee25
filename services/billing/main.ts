/**
 * Billing: meters what ingest has taken in.
 *
 * Owns    the loop that finds unmetered batches, and the settings it writes at its start.
 * Leaves  metering one batch to meter-batch.ts, exports to a folder to exports/scheduled-exports.ts, which are looked
 *         at each minute and hold up no metering. Any number of workers may run: a batch is metered once.
 * Limits  looks twice a second while there is work, up to every 2 s when there is none; usage is that much late.
 * Fails   Postgres away: waits and tries again. A batch that cannot be metered is logged and tried again each minute,
 *         stays in the count of unmetered batches, and does not hold up the others.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { ensureTenant } from '../database/ensure-tenant.ts'
import { isDatabaseUnavailable, type Database } from '../database/open-database.ts'
import type { Config } from '../kit/config.ts'
import type { Logger } from '../kit/operator-log.ts'
import type { RunningService } from '../kit/running-service.ts'
import { ensureBillingPolicy, policyOf } from './billing-policy.ts'
import { writeDueExports } from './exports/scheduled-exports.ts'
import { MeteringPass } from './metering-pass.ts'
import { ensureNetworkClients } from './network-clients.ts'
import { openPeriods } from './periods/period-store.ts'
import { ensureUsageRollup } from './usage-rollup.ts'

export type BillingOptions = { config: Config; database: Database; log: Logger }

const shortestWaitMs = 500
const longestWaitMs = 2_000
const betweenExportsMs = 60_000
/** A new month is kept as a period within this time. */
const periodsLookMs = 600_000

export async function startBilling(options: BillingOptions): Promise<RunningService> {
  // What is wrong in the configuration is told at the start, not by the loop.
  policyOf(options.config)
  const stopping = new AbortController()
  const progress = { isSetUp: false }
  const loops = [run(options, stopping.signal, progress), keepExporting(options, stopping.signal, progress)]
  return {
    stop: async () => {
      stopping.abort()
      await Promise.all(loops)
    },
  }
}

/** Both loops of one worker: nothing can be exported before the tenant and its policy are there. */
type Progress = { isSetUp: boolean }

async function keepExporting(options: BillingOptions, stopping: AbortSignal, progress: Progress): Promise<void> {
  if (options.config.billing.exports.length === 0) return
  while (!stopping.aborted) {
    if (!progress.isSetUp) {
      await sleep(shortestWaitMs, undefined, { signal: stopping }).catch(() => {})
      continue
    }
    // The other loop says that the database is away; what is due then is written once it is back.
    await writeDueExports(options).catch((error: unknown) => {
      if (!isDatabaseUnavailable(error)) throw error
    })
    await sleep(betweenExportsMs, undefined, { signal: stopping }).catch(() => {})
  }
}

async function run(
  { config, database, log }: BillingOptions,
  stopping: AbortSignal,
  progress: Progress,
): Promise<void> {
  const pass = new MeteringPass(database, config.tenant, log)
  let isWaiting = false
  let waitMs = shortestWaitMs
  let periodsDueMs = 0
  while (!stopping.aborted) {
    try {
      if (!progress.isSetUp) await setUp(config, database, log)
      progress.isSetUp = true
      const meteredCount = await pass.run(stopping)
      if (isWaiting) log.info('the database is back, metering goes on')
      isWaiting = false
      if (Date.now() >= periodsDueMs) {
        await openPeriods(database, config.tenant, new Date())
        periodsDueMs = Date.now() + periodsLookMs
      }
      waitMs = meteredCount > 0 ? shortestWaitMs : Math.min(waitMs * 2, longestWaitMs)
    } catch (error) {
      if (!isDatabaseUnavailable(error)) throw error
      if (!isWaiting) log.warn({ err: error }, 'the database cannot be reached; mail is metered once it is back')
      isWaiting = true
      waitMs = longestWaitMs
    }
    await sleep(waitMs, undefined, { signal: stopping }).catch(() => {})
  }
}

async function setUp(config: Config, database: Database, log: Logger): Promise<void> {
  await ensureTenant(database, config.tenant)
  await ensureBillingPolicy(database, config.tenant, config)
  await ensureUsageRollup(database, config.tenant)
  for (const { network, client } of await ensureNetworkClients(database, config.tenant, config.networks)) {
    log.warn(
      `networks: "${network}" names the client "${client}", which the directory does not hold; ` +
        'what the network sends is metered under that name all the same. Add the client, or correct the name',
    )
  }
}
