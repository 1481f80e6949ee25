/**
 * Billing: meters what ingest has taken in.
 *
 * Owns    the loop that finds unmetered batches, and the settings it writes at its start.
 * Leaves  metering one batch to meter-batch.ts. Any number of workers may run: a batch is metered once.
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
import { MeteringPass } from './metering-pass.ts'
import { ensureNetworkClients } from './network-clients.ts'
import { ensureUsageRollup } from './usage-rollup.ts'

export type BillingOptions = { config: Config; database: Database; log: Logger }

const shortestWaitMs = 500
const longestWaitMs = 2_000

export async function startBilling(options: BillingOptions): Promise<RunningService> {
  // What is wrong in the configuration is told at the start, not by the loop.
  policyOf(options.config)
  const stopping = new AbortController()
  const loop = run(options, stopping.signal)
  return {
    stop: async () => {
      stopping.abort()
      await loop
    },
  }
}

async function run({ config, database, log }: BillingOptions, stopping: AbortSignal): Promise<void> {
  const pass = new MeteringPass(database, config.tenant, log)
  let isSetUp = false
  let isWaiting = false
  let waitMs = shortestWaitMs
  while (!stopping.aborted) {
    try {
      if (!isSetUp) await setUp(config, database, log)
      isSetUp = true
      const meteredCount = await pass.run(stopping)
      if (isWaiting) log.info('the database is back, metering goes on')
      isWaiting = false
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
