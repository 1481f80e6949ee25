/**
 * Kills a whole gateway again and again under load of smtp-source, then asks what became of every message it answered
 * with 250: whether it reached the next hop, and whether the log bills it.
 *
 * Usage   node dist/test/harness/kill-gateway.js [ROUNDS]: prints the result as one JSON line; exit code 1 when one was
 *         lost or not billed once.
 * Why     smtp-source gives each message a recipient of its own and, when told to talk, repeats every reply: ours names
 *         the queue id, by which the log tells the recipient, by which the next hop knows the message.
 * Limits  the log is ingested and metered in an embedded Postgres that is removed afterwards.
 */
import { fork, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { ensureBillingPolicy } from '../../services/billing/billing-policy.ts'
import { MeteringPass } from '../../services/billing/metering-pass.ts'
import { startEmbeddedPostgres } from '../../services/database/embedded-postgres.ts'
import { ensureTenant } from '../../services/database/ensure-tenant.ts'
import { migrate } from '../../services/database/migrate.ts'
import { openDatabase } from '../../services/database/open-database.ts'
import { startSink } from '../../services/demo/sink.ts'
import { ingestFile } from '../../services/ingest/ingest-file.ts'
import { openOperatorLog } from '../../services/kit/operator-log.ts'
import { readConfig } from '../../services/kit/read-config.ts'
import { findProgram } from '../bench/peer-program.ts'

export type GatewayKillResult = {
  rounds: number
  acknowledgedCount: number
  /** Distinct messages that the next hop has. */
  arrivedCount: number
  /** Queue ids that were answered with 250 and did not arrive. Must be none. */
  lost: string[]
  /** Queue ids that were answered with 250, or recipients that arrived, without exactly one billed entry. Must be none. */
  notBilledOnce: string[]
  /** Deliveries more than one a message: the process died between the reply of the next hop and writing it down. */
  repeatedCount: number
  /** Arrived though their 250 never came: the process died between event and reply. */
  unacknowledgedCount: number
}

type Billed = { queueId: string; address: string; count: number }

const sessionCount = 20
const domain = 'example.com'

export async function killGateway(rounds: number, longestMs: number): Promise<GatewayKillResult> {
  const source = findProgram('smtp-source', 'postfix')
  const folder = await mkdtemp(path.join(tmpdir(), 'tollgate-kill-gateway-'))
  await chmod(folder, 0o711)
  const deliveries = new Map<string, number>()
  const sink = await startSink({
    port: 0,
    keepCount: 1,
    onMessage: ({ recipients: [recipient] }) => void deliveries.set(recipient!, (deliveries.get(recipient!) ?? 0) + 1),
  })
  const config = path.join(folder, 'tollgate.yaml')
  await writeFile(config, JSON.stringify(configOf(sink.port)))
  const acknowledged = new Set<string>()
  try {
    for (let round = 1; round <= rounds; round += 1) {
      const { child, port } = await startGateway(config)
      const load = startLoad(source, port, round, acknowledged)
      await load.underWay
      await sleep(Math.random() * longestMs)
      const gone = once(child, 'exit')
      child.kill('SIGKILL')
      await gone
      await load.ended
    }
    const { child } = await startGateway(config)
    await untilQuiet(() => sink.counts.messages)
    const stopped = once(child, 'exit')
    child.send('stop')
    await stopped
    return resultOf(rounds, acknowledged, deliveries, await billedMessages(folder))
  } finally {
    await sink.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

function configOf(sinkPort: number): object {
  return {
    node: 'kill',
    data: 'data',
    smtp: { listen: ['127.0.0.1:0'], limits: { transactionsPerSession: 1_000_000 } },
    recipients: { mode: 'domains', domains: [domain] },
    routes: [{ domain: '*', host: '127.0.0.1', port: sinkPort, tls: 'off' }],
    delivery: { firstRetrySeconds: 1, lastRetrySeconds: 1 },
  }
}

async function startGateway(config: string): Promise<{ child: ChildProcess; port: number }> {
  const child = fork(path.join(import.meta.dirname, 'gateway-child.js'), [config], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  const [message] = (await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(([code]) => { throw new Error(`the gateway ended with ${code} before it listened`) }),
  ])) as [{ address: string }]
  return { child, port: Number(message.address.split(':').at(-1)) }
}

function startLoad(source: string, port: number, round: number, acknowledged: Set<string>): { underWay: Promise<unknown>; ended: Promise<unknown> } {
  const words = ['-v', '-d', '-N', '-s', String(sessionCount), '-m', '1000000', '-l', '3000', '-f', 's@remote.example']
  const child = spawn(source, [...words, '-t', `round${round}@${domain}`, `127.0.0.1:${port}`], { stdio: ['ignore', 'ignore', 'pipe'] })
  const ended = once(child, 'close')
  const underWay = new Promise<void>((resolve) => {
    createInterface({ input: child.stderr }).on('line', (line) => {
      const queueId = /<<< 250 2\.0\.0 Ok: queued as (\S+)/.exec(line)?.[1]
      if (queueId === undefined) return
      acknowledged.add(queueId)
      resolve()
    })
  })
  return { underWay: Promise.race([underWay, ended]), ended }
}

/** Until nothing more has come for some seconds: longer than a failed delivery waits. */
async function untilQuiet(count: () => number): Promise<void> {
  for (let last = -1, quietSince = Date.now(); Date.now() - quietSince < 4_000; await sleep(100)) {
    if (count() === last) continue
    last = count()
    quietSince = Date.now()
  }
}

/** The messages that the log of all boots tells of, each with its number of billed entries. */
async function billedMessages(folder: string): Promise<Billed[]> {
  const server = await startEmbeddedPostgres({ folder: path.join(folder, 'postgres'), databaseName: 'kill' })
  try {
    await migrate(server.url)
    const database = openDatabase(server.url, { applicationName: 'kill' })
    try {
      const reading = readConfig(null, {})
      if ('faults' in reading) throw new Error(JSON.stringify(reading.faults))
      await ensureTenant(database, 'main')
      await ensureBillingPolicy(database, 'main', reading.config)
      const events = path.join(folder, 'data', 'events')
      for (const name of (await readdir(events)).sort()) await ingestFile({ database, tenantId: 'main', path: path.join(events, name) })
      await new MeteringPass(database, 'main', openOperatorLog('kill', { level: 'error' })).run(new AbortController().signal)
      const { rows } = await database.pool.query<Billed>(`
        select recipient.transaction_id as "queueId", recipient.address,
          (select count(*) from usage_entry entry where entry.tenant_id = 'main' and entry.is_billable
            and entry.transaction_id = recipient.transaction_id)::int as count
        from transaction_recipient recipient
        join mail_transaction message using (tenant_id, transaction_id, id_time)
        where tenant_id = 'main' and message.outcome = 'accepted' and message.duplicate_of is null`)
      return rows
    } finally {
      await database.close()
    }
  } finally {
    await server.stop()
  }
}

function resultOf(
  rounds: number,
  acknowledged: ReadonlySet<string>,
  deliveries: ReadonlyMap<string, number>,
  billed: readonly Billed[],
): GatewayKillResult {
  const byQueueId = new Map(billed.map((message) => [message.queueId, message]))
  const byAddress = new Map(billed.map((message) => [message.address, message]))
  const acknowledgedAddresses = new Set([...acknowledged].map((queueId) => byQueueId.get(queueId)?.address))
  return {
    rounds,
    acknowledgedCount: acknowledged.size,
    arrivedCount: deliveries.size,
    lost: [...acknowledged].filter((queueId) => !deliveries.has(byQueueId.get(queueId)?.address ?? '')),
    notBilledOnce: [
      ...[...acknowledged].filter((queueId) => byQueueId.get(queueId)?.count !== 1),
      ...[...deliveries.keys()].filter((address) => byAddress.get(address)?.count !== 1),
      ...billed.filter(({ queueId, address }) => byAddress.get(address)?.queueId !== queueId).map(({ queueId }) => queueId),
    ],
    repeatedCount: [...deliveries.values()].reduce((sum, count) => sum + count - 1, 0),
    unacknowledgedCount: [...deliveries.keys()].filter((address) => !acknowledgedAddresses.has(address)).length,
  }
}

if (import.meta.filename === process.argv[1]) {
  const result = await killGateway(Number(process.argv[2] ?? 100), 400)
  process.stdout.write(`${JSON.stringify(result)}\n`)
  const isWhole = result.lost.length + result.notBilledOnce.length === 0
  process.exitCode = isWhole && result.acknowledgedCount > 0 ? 0 : 1
}
