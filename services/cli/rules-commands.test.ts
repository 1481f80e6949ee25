/** `tollgate rules …` as a user runs it. Needs a build. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { plainMessage } from '../../test/api-fixture.ts'
import { LogBuilder } from '../../test/event-builder.ts'
import { runTollgate, type Finished } from '../../test/harness/tollgate-command.ts'
import { createTestDatabase, type TestDatabase } from '../../test/test-database.ts'
import type { BacktestResult } from '../contracts/backtest.ts'
import { ensureTenant } from '../database/ensure-tenant.ts'
import { ingestFile } from '../ingest/ingest-file.ts'

vi.setConfig({ testTimeout: 300_000 })

let folder = ''
let own: TestDatabase
let messageId = ''
const write = (name: string, text: string) => writeFileSync(join(folder, name), text)
const rules = (words: string, input = ''): Promise<Finished> =>
  runTollgate(['rules', ...words.split(' ')], { folder, environment: { TOLLGATE_DATABASE_URL: own.url }, input })

const casino = `
rejectAt: 8
lists: { words: { file: words.txt } }
rules:
  - { id: on-the-list, stage: header, when: { attribute: subject, in: words }, then: { weight: 9 } }
  - { id: far, stage: header, when: { country: KP }, then: { weight: 1 } }
`

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tollgate-rules-'))
  own = await createTestDatabase()
  const { database } = own
  await ensureTenant(database, 'main')
  const log = new LogBuilder({ startMs: Date.now() - 3_600_000 })
  const lines = log.segmentStart()
  for (let index = 0; index < 12; index += 1) {
    const body = plainMessage(log, { subject: index < 5 ? 'casino' : 'hello' })
    if (index === 0) messageId = body.transactionId
    lines.push(log.line(body))
  }
  write('log.jsonl', lines.join(''))
  await ingestFile({ database, tenantId: 'main', path: join(folder, 'log.jsonl') })
  write('casino.yaml', casino)
  write('words.txt', 'casino # all of them\n')
})
afterAll(async () => {
  await own.drop()
  rmSync(folder, { recursive: true, force: true })
})

describe('tollgate rules', () => {
  it('check reads the files of lists, and names one that is not there', async () => {
    expect(await rules('check casino.yaml')).toEqual({
      code: 0,
      stdout: 'casino.yaml: 2 rules, no mistake\n',
      stderr: '',
    })
    write('lost.yaml', casino.replace('words.txt', 'lost.txt'))
    const lost = await rules('check lost.yaml')
    expect(lost.code).toBe(2)
    expect(lost.stderr).toMatch(
      /^lost\.yaml:3:25: lists\.words\.file: The list lost\.txt cannot be read\. Check its name/,
    )
  })

  it('levels makes a rule set that check takes, and diff tells between two of them', async () => {
    const strict = await rules('levels --level 2')
    const lax = await rules('levels --level 9 --group sender=2 --far-away KP')
    write('strict.yaml', strict.stdout)
    write('lax.yaml', lax.stdout)
    expect(await rules('check strict.yaml')).toMatchObject({ code: 0 })
    expect(await rules('check lax.yaml')).toMatchObject({ code: 0 })
    const { code, stdout } = await rules('diff lax.yaml strict.yaml')
    expect(code).toBe(0)
    expect(stdout).toMatch(/^\+ recipients\.greylist at rcpt: /m)
    expect(stdout).toMatch(/^- list far-away: |^~ list far-away: 0 entries more, 1 fewer/m)
    expect(stdout).not.toMatch(/^[~+-] sender\./m)
    expect((await rules('diff lax.yaml lax.yaml')).stdout).toBe('No difference.\n')
    expect((await rules('levels --format table')).stdout).toMatch(/^connection +5 +no-reverse-name +connect +\+2$/m)
    expect(await rules('levels --group sendr=2')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/sender=2\. The groups are/),
    })
  })

  it('explain shows every rule for a stored message or an event, and what nobody can tell', async () => {
    const stored = await rules(`explain casino.yaml --message ${messageId}`)
    expect(stored.code, stored.stderr).toBe(0)
    expect(stored.stdout).toMatch(/^Then: accepted at complete/m)
    expect(stored.stdout).toMatch(/^Under these rules: refused at complete, weight, weight 9$/m)
    expect(stored.stdout).toMatch(/^header +on-the-list +hit +\+9 +9 +subject: casino$/m)
    const detail = await own.database.pool.query('select event from transaction_detail where transaction_id = $1', [
      messageId,
    ])
    const event = { ...detail.rows[0].event, remote: { ...detail.rows[0].event.remote, country: null } }
    const given = await rules('explain casino.yaml', JSON.stringify(event))
    expect(given.stdout).toMatch(/^header +far +unknown +9 +nobody looked up remote\.country, or it was not logged$/m)
    expect(await rules('explain casino.yaml', '{}')).toMatchObject({ code: 2, stdout: '' })
    expect(await rules('explain casino.yaml --message nonsense')).toMatchObject({ code: 2, stdout: '' })
  })

  it('publish puts a file with its lists in force as a version, and revert an old one again', async () => {
    expect((await rules('versions')).stdout).toBe('Nothing was published yet.\n')
    const first = await rules('publish casino.yaml --note first')
    expect([first.code, first.stdout]).toEqual([0, expect.stringMatching(/^Version 1 is published \([0-9a-f]{16}\)/)])
    write('other.yaml', casino.replace('weight: 9', 'weight: 7'))
    const second = await rules('publish other.yaml')
    expect(second.stderr).toMatch(/^Note: on-the-list mean something else under the same revision/)
    expect((await rules('revert 1')).stdout).toMatch(/^Version 3 is published/)
    const versions = (await rules('versions --format json')).stdout.trim().split('\n').map((line) => JSON.parse(line))
    expect(versions).toMatchObject([{ version: 3, reverts: 1 }, { version: 2 }, { version: 1, note: 'first' }])
    expect(versions[0].hash).toBe(versions[2].hash)
    expect((await rules('versions')).stdout).toMatch(/^ *3 .* command line .* back to 1$/m)
    const { rows } = await own.database.pool.query(`select ruleset -> 'lists' as lists, source_text from ruleset_version where version = 1`)
    expect(rows).toMatchObject([{ lists: { words: ['casino'] }, source_text: expect.not.stringContaining('words.txt') }])
  })

  it('publish refuses faults, a version that is not there, and where a file governs', async () => {
    write('wrong.yaml', casino.replace('KP', 'nowhere'))
    expect(await rules('publish wrong.yaml')).toMatchObject({ code: 2, stderr: expect.stringMatching(/^wrong\.yaml:6:/) })
    expect(await rules('revert 99')).toMatchObject({ code: 2, stderr: 'There is no version 99 of the rules.\n' })
    write('governed.yaml', 'rules: casino.yaml\n')
    const governed = await rules('publish casino.yaml --config governed.yaml')
    expect(governed).toMatchObject({ code: 2, stderr: expect.stringMatching(/casino\.yaml, and that file governs/) })
  })

  it('backtest tells what would change, as a table and as JSON', async () => {
    const asJson = await rules('backtest casino.yaml --days 2 --format json')
    expect(asJson.code, asJson.stderr).toBe(0)
    expect(asJson.stderr).toBe('')
    const result = JSON.parse(asJson.stdout) as BacktestResult & { rulesetHash: string; watermark: string }
    expect(result).toMatchObject({ transactionCount: 12, counts: { same: 7, 'newly-refused': 5 } })
    expect(result.rulesetHash).toMatch(/^[0-9a-f]{64}$/)
    expect(result.rules).toMatchObject([
      { ruleId: 'on-the-list', hitCount: 5, soleCauseCount: 5 },
      { ruleId: 'far', hitCount: 0 },
    ])
    const { stdout } = await rules('backtest casino.yaml --days 2')
    expect(stdout).toMatch(/^12 transactions: 7 as before$/m)
    expect(stdout).toMatch(/^newly-refused +accepted +refused +5 +[0-9a-f-]{36}$/m)
  })
})
