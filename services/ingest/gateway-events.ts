/** What a gateway tells beside mail, and the content of every policy that came into force. Few rows: plain inserts. */
import type pg from 'pg'
import type { PolicyLoaded, TollgateEvent } from '../contracts/event.ts'
import type { KeptLine } from './decode-line.ts'

const kinds: ReadonlySet<TollgateEvent['kind']> = new Set([
  'segment.opened',
  'gateway.started',
  'gateway.stopped',
  'policy.loaded',
  'quarantine.released',
  'quarantine.deleted',
])

export async function storeGatewayEvents(client: pg.PoolClient, tenantId: string, lines: readonly KeptLine[]): Promise<void> {
  const told = lines.filter((line) => kinds.has(line.event.kind))
  if (told.length === 0) return
  await client.query(
    `insert into gateway_event (tenant_id, node, boot, seq, at, kind, transaction_id, event_hash, event)
     select $1, * from unnest($2::text[], $3::uuid[], $4::bigint[], $5::timestamptz[], $6::text[], $7::uuid[], $8::bigint[], $9::jsonb[])`,
    [
      tenantId,
      told.map(({ event }) => event.node),
      told.map(({ event }) => event.boot),
      told.map(({ event }) => event.seq),
      told.map(({ event }) => event.at),
      told.map(({ event }) => event.kind),
      told.map(({ event }) => ('transactionId' in event ? event.transactionId : null)),
      told.map(({ digest }) => digest.readBigInt64BE(0)),
      told.map(({ event, json }) => (event.kind === 'policy.loaded' ? JSON.stringify({ ...event, content: null }) : json.toString())),
    ],
  )
}

export async function storePolicies(client: pg.PoolClient, tenantId: string, lines: readonly KeptLine[]): Promise<void> {
  for (const { event } of lines) {
    if (event.kind !== 'policy.loaded') continue
    const { part, hash, content, at }: PolicyLoaded = event
    await client.query(
      `insert into policy_version (tenant_id, part, hash, content, first_loaded_at) values ($1, $2, $3, $4::jsonb, $5)
       on conflict (tenant_id, part, hash) do update set first_loaded_at = excluded.first_loaded_at
       where excluded.first_loaded_at < policy_version.first_loaded_at`,
      [tenantId, part, hash, JSON.stringify(content), at],
    )
  }
}
