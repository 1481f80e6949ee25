/** `tollgate log` and `tollgate trace` on real rows, and the same by HTTP. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { columnsWithin, messageTable } from '../services/cli/message-table.ts'
import { messageText } from '../services/cli/message-text.ts'
import type { LogStatus, MessageDetail, MessageRow, RejectedLineList } from '../services/contracts/api.ts'
import { createApiFixture, loggedRecipient, plainMessage, type ApiFixture, type Caller } from './api-fixture.ts'
import { runTollgate } from './harness/tollgate-command.ts'

vi.setConfig({ testTimeout: 120_000 })

const hostile = '\u001b[2J\u001b]0;owned\u0007 win\r\nner \u202etxt'

describe('the log, by command and by HTTP', () => {
  let api: ApiFixture
  let admin: Caller
  let viewer: Caller
  let folder: string
  let id: string
  let lost: number

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'tollgate-log-'))
    api = await createApiFixture()
    await api.addUser('root', 'admin')
    await api.addUser('viewer', 'viewer')
    admin = await api.login('root')
    viewer = await api.login('viewer')
    const { log } = api
    const lines = [...log.segmentStart()]
    const body = plainMessage(log, { subject: hostile, recipients: [loggedRecipient('ann@corp.test'), loggedRecipient('ben@corp.test')] })
    id = body.transactionId
    lines.push(log.line(body))
    log.line(plainMessage(log))
    lost = log.seq
    log.line(plainMessage(log))
    lines.push(log.line(plainMessage(log)), 'no json \u001b[31m\u202e\n', '{"kind":"x"}\n')
    await api.ingest(lines)
  })
  afterAll(async () => {
    await api.close()
    await rm(folder, { recursive: true, force: true })
  })

  const tollgate = (...words: string[]) => runTollgate(words, { folder, environment: { TOLLGATE_DATABASE: api.test.url }, input: '' })

  it('tells gaps by node, boot and number, and where the tail stands', async () => {
    const status = (await admin.get('/log')).json() as LogStatus
    expect(status.gaps).toEqual([{ node: 'gateway-1', boot: api.log.boot, bootNumber: 1, kind: 'hole', fromSeq: lost, uptoSeq: lost + 2 }])
    expect(status.rejected).toEqual({ 'not-json': '1', 'schema-version': '1' })
    expect(status.nodes).toMatchObject([{ node: 'gateway-1', bootCount: 1, tail: { segment: 1 } }])
    const { stdout, code } = await tollgate('log', 'status')
    expect(code).toBe(0)
    expect(stdout).toContain(`missing: gateway-1 boot 1 seq ${lost}-${lost + 2} (2 events, hole)`)
    expect(stdout).toMatch(/rejected {2}not-json {2}1\n/)
    expect(stdout).toMatch(/Log complete to \S+, missing: /)
    expect(JSON.parse((await tollgate('log', 'status', '--format', 'json')).stdout)).toEqual(status)
  })

  it('lists rejected lines with file, place and reason, by page, with nothing in them that acts', async () => {
    const first = (await admin.get('/log/rejected?limit=1')).json() as RejectedLineList
    const second = (await admin.get(`/log/rejected?limit=1&cursor=${first.nextCursor}`)).json() as RejectedLineList
    expect([...first.rows, ...second.rows].map((row) => [row.reason, row.line])).toEqual([
      ['schema-version', '{"kind":"x"}'],
      ['not-json', 'no json \\x1b[31m\\u{202e}'],
    ])
    expect(second.nextCursor).toBeNull()
    expect((await admin.get('/log/rejected?reason=torn')).json()).toEqual({ rows: [], nextCursor: null })
    expect((await admin.get('/log/rejected?reason=x')).json().error.code).toBe('bad-request')
    expect((await viewer.get('/log/rejected')).status).toBe(403)
    const { stdout } = await tollgate('log', 'rejected', '--reason', 'not-json')
    expect(stdout).toMatch(/0\.jsonl:\d+ {2}not-json {2}.*\n {2}no json \\x1b\[31m\\u\{202e\}\n$/)
    expect((await tollgate('log', 'rejected', '--reason', 'odd')).code).toBe(2)
  })

  it('traces one id to its whole timeline, as JSON the same as by HTTP, and names the gaps', async () => {
    const { stdout, stderr } = await tollgate('trace', id)
    expect(stdout).toContain('Accepted at complete · 250 2.0.0 Ok')
    for (const section of ['Timeline', 'Rules, weight 0', 'Recipients (2)', 'Size and billing', 'Envelope']) expect(stdout).toContain(`\n${section}\n`)
    expect(stdout).toContain('\\x1b[2J\\x1b]0;owned\\x07 win\\r\\nner \\u{202e}txt')
    expect(stdout.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u)
    expect(stderr).toContain(`missing: gateway-1 boot 1 seq ${lost}-`)
    const detail = JSON.parse((await tollgate('trace', `id:${id}`, '--format', 'json')).stdout) as MessageDetail
    expect(detail).toEqual((await admin.get(`/messages/${id}`)).json())
    const all = (await tollgate('trace', 'to:ann@corp.test', '--detail', '--format', 'json')).stdout.trim().split('\n')
    expect(all.map((line) => (JSON.parse(line) as MessageDetail).event.subject)).toEqual(['plain', hostile])
  })

  it('keeps every line of a message within the terminal', async () => {
    const detail = (await admin.get(`/messages/${id}`)).json() as MessageDetail
    for (const width of [40, 80, 132]) {
      for (const line of messageText(detail, { timeZone: 'UTC', width }).split('\n')) expect([...line].length, line).toBeLessThanOrEqual(width)
    }
    const rows = ((await admin.get('/messages')).json() as { rows: MessageRow[] }).rows
    for (const width of [70, 80, 100, 132, 200]) {
      for (const line of messageTable(rows, { timeZone: 'UTC', width, hasHead: true }).split('\n')) expect([...line].length, line).toBeLessThanOrEqual(width)
      expect(columnsWithin(width).map((column) => column.name)).toEqual(expect.arrayContaining(['from', 'to', 'id']))
    }
  })

  it('gives up a gap only by name, only where there is one, and records who did', async () => {
    const body = { node: 'gateway-1', boot: api.log.boot, fromSeq: lost, uptoSeq: lost + 1, reason: 'disk lost' }
    expect((await viewer.call('POST', '/log/gaps', { body })).status).toBe(403)
    for (const wrong of [{ fromSeq: lost - 1 }, { uptoSeq: lost + 3 }, { node: 'other' }, { boot: '7' }]) {
      expect((await admin.call('POST', '/log/gaps', { body: { ...body, ...wrong } })).json().error.message).toMatch(/no open gap/)
    }
    const status = (await admin.call('POST', '/log/gaps', { body })).json() as LogStatus
    expect(status.gaps).toMatchObject([{ fromSeq: lost + 1, uptoSeq: lost + 2 }])
    expect(status.acceptedGaps).toMatchObject([{ fromSeq: lost, uptoSeq: lost + 1, acceptedBy: 'root', reason: 'disk lost' }])
    const again = await tollgate('log', 'accept-gap', 'gateway-1', '1', `${lost}-${lost + 1}`, '--reason', 'again')
    expect(again).toMatchObject({ code: 2, stderr: expect.stringContaining(`open are boot 1 ${lost + 1}-${lost + 2}`) })
    const done = await tollgate('log', 'accept-gap', 'gateway-1', '1', `${lost + 1}-${lost + 2}`, '--reason', 'the same disk')
    expect(done).toMatchObject({ code: 0, stdout: expect.stringContaining('no gaps') })
    const { rows } = await api.test.database.pool.query(`select actor, subject, detail from audit_record where action = 'log.gap-accepted' order by audit_id`)
    expect(rows).toMatchObject([
      { actor: 'root', subject: 'gateway-1', detail: { fromSeq: lost, reason: 'disk lost' } },
      { actor: expect.stringMatching(/^command:/), detail: { reason: 'the same disk' } },
    ])
    expect((await tollgate('log', 'status')).stdout).toContain('given up: boot')
  })
})
