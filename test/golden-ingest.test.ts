/** Golden segments of every released schema version replay into the rows that their lines tell. */
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TollgateEvent } from '../services/contracts/event.ts'
import { ensureTenant } from '../services/database/ensure-tenant.ts'
import { listGaps } from '../services/database/log-completeness.ts'
import { ingestFile } from '../services/ingest/ingest-file.ts'
import { packageRoot } from '../services/kit/package-root.ts'
import { createTestDatabase, type TestDatabase } from './test-database.ts'

const golden = path.join(packageRoot, 'test', 'golden')

describe.each(readdirSync(golden).filter((name) => /^v\d+$/.test(name)))('golden segments %s', (version) => {
  const folder = path.join(golden, version)
  const files = readdirSync(folder).filter((name) => name.endsWith('.jsonl')).sort()
  const events = files.flatMap((file) =>
    readFileSync(path.join(folder, file), 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line) as TollgateEvent),
  )
  const tenantId = events[0]!.tenantId
  let test: TestDatabase

  beforeAll(async () => {
    test = await createTestDatabase()
    await ensureTenant(test.database, tenantId)
    for (const file of files) await ingestFile({ database: test.database, tenantId, path: path.join(folder, file) })
  })
  afterAll(async () => {
    await test.drop()
  })

  async function rowsOf<Row>(query: string): Promise<Row[]> {
    return (await test.database.pool.query(query)).rows as Row[]
  }

  it('are stored whole, event by event, with none rejected and none missing', async () => {
    expect(await rowsOf('select reason, detail from rejected_line')).toEqual([])
    expect(await listGaps(test.database, tenantId)).toEqual([])
    for (const [kind, table] of [
      ['transaction.ended', 'transaction_detail'],
      ['delivery.attempted', 'delivery_attempt'],
      ['message.finished', 'message_finished'],
      ['session.closed', 'session_closed'],
    ] as const) {
      const stored = (await rowsOf<{ event: TollgateEvent }>(`select event from ${table}`)).map((row) => row.event)
      const logged = events.filter((event) => event.kind === kind)
      const byPlace = (a: TollgateEvent, b: TollgateEvent) => `${a.boot}${a.seq}`.localeCompare(`${b.boot}${b.seq}`)
      expect(logged.length, kind).toBeGreaterThan(0)
      expect(stored.sort(byPlace), kind).toEqual(logged.sort(byPlace))
    }
  })

  it('become the recipients, sizes, outcomes and hits that the lines tell', async () => {
    const told = events.filter((event) => event.kind === 'transaction.ended')
    const stored = await rowsOf<Record<string, unknown>>(`
      select t.transaction_id as id, t.outcome, t.stage, t.reason, t.sender, t.subject, t.message_bytes, t.declared_bytes, t.weight_milli,
        array(select r.address || ' ' || r.outcome from transaction_recipient r where r.transaction_id = t.transaction_id order by r.position) as recipients,
        array(select h.rule_id from rule_hit h where h.transaction_id = t.transaction_id order by h.position) as rules
      from mail_transaction t order by t.transaction_id`)
    const expected = told
      .map((event) => ({
        id: event.transactionId,
        outcome: event.outcome,
        stage: event.stage,
        reason: event.reason,
        sender: event.sender,
        subject: event.subject,
        message_bytes: event.messageBytes === null ? null : BigInt(event.messageBytes),
        declared_bytes: event.declaredSizeBytes === null ? null : BigInt(event.declaredSizeBytes),
        weight_milli: Math.round(event.weight * 1000),
        recipients: event.recipients.map((recipient) => `${recipient.normalized} ${recipient.outcome}`),
        rules: event.evaluations.flatMap((evaluation) => evaluation.hits.map((hit) => hit.ruleId)),
      }))
      .sort((a, b) => (a.id < b.id ? -1 : 1))
    expect(stored).toEqual(expected)
  })

  it('change nothing when they are read again', async () => {
    for (const file of files) {
      const summary = await ingestFile({ database: test.database, tenantId, path: path.join(folder, file) })
      expect(summary).toMatchObject({ newEventCount: 0, rejectedLineCount: 0 })
    }
  })
})
