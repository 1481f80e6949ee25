/**
 * The tariffs of the demo, given once, as soon as its clients are there: so that a fresh demo shows money.
 *
 * Fails  never stops what it runs beside: a demo that has tariffs already keeps them, a database that is away is waited for.
 */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { parse } from 'yaml'
import { addTariffVersion, assignTariff, listTariffs, TariffRefusal } from '../billing/tariffs/tariff-store.ts'
import type { TariffDefinition } from '../contracts/tariff.ts'
import { isDatabaseUnavailable, type Database } from '../database/open-database.ts'
import { demoAsset } from '../demo/demo-config.ts'
import type { Logger } from '../kit/operator-log.ts'
import type { RunningService } from '../kit/running-service.ts'

type DemoTariffs = { tariffs: Record<string, TariffDefinition>; assignments: Record<string, string> }

const everyMs = 1_000

export function giveDemoTariffs(database: Database, tenantId: string, log: Logger): RunningService {
  const stopping = new AbortController()
  const giving = keepTrying(database, tenantId, log, stopping.signal)
  return {
    stop: async () => {
      stopping.abort()
      await giving
    },
  }
}

async function keepTrying(database: Database, tenantId: string, log: Logger, signal: AbortSignal): Promise<void> {
  const { tariffs, assignments } = parse(readFileSync(demoAsset('tariffs.yaml'), 'utf8')) as DemoTariffs
  const by = 'demo'
  while (!signal.aborted) {
    try {
      const { rows } = await database.pool.query<{ count: bigint }>('select count(*) as count from client where tenant_id = $1 and client_id = any ($2)', [tenantId, Object.keys(assignments)])
      if (rows[0]!.count === BigInt(Object.keys(assignments).length)) {
        if ((await listTariffs({ database, tenantId })).length > 0) return
        for (const [tariffId, definition] of Object.entries(tariffs)) await addTariffVersion({ database, tenantId }, { tariffId, definition, from: null, by })
        for (const [clientId, tariffId] of Object.entries(assignments)) await assignTariff({ database, tenantId }, { clientId, tariffId, from: null, by })
        return
      }
    } catch (error) {
      if (error instanceof TariffRefusal || !isDatabaseUnavailable(error)) return log.error({ err: error }, 'the demo gets no tariffs')
    }
    await sleep(everyMs, undefined, { signal }).catch(() => {})
  }
}
