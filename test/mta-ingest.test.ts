/** Other MTAs' logs become rows once, however the files are cut, copied, packed and ordered. */
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ensureBillingPolicy } from '../services/billing/billing-policy.ts'
import { policySettings } from './billing-tenant.ts'
import { goldenLines, ingestMta, meterAll } from './mta-fixture.ts'
import { addTenant, emptyTables, snapshotOf, withTemporaryFolder, type RowSnapshot } from './ingest-rows.ts'
import { createTestDatabase, type TestDatabase } from './test-database.ts'

describe('the log of a Postfix', () => {
  const lines = goldenLines('postfix.txt')
  let test: TestDatabase
  let whole: RowSnapshot

  beforeAll(async () => {
    test = await createTestDatabase()
    await addTenant(test.database)
    await ensureBillingPolicy(test.database, 'main', policySettings())
    whole = await rowsOf([[lines]])
  })
  afterAll(async () => {
    await test.drop()
  })
  beforeEach(async () => {
    await emptyTables(test.url)
  })

  /** Runs one after the other, each with its files. */
  async function rowsOf(runs: (readonly string[])[][], packed = false): Promise<RowSnapshot> {
    await addTenant(test.database)
    await withTemporaryFolder(async (folder) => {
      for (const [run, files] of runs.entries()) {
        const paths = files.map((_, index) => path.join(folder, `mail.${run}.${index}`))
        for (const [index, held] of files.entries()) {
          const text = `${held.join('\n')}\n`
          await writeFile(paths[index]!, packed ? gzipSync(text) : text)
        }
        await ingestMta(test.database, 'postfix', paths)
      }
    })
    return await snapshotOf(test.database)
  }

  // Between two sessions: one that is cut keeps its beginning waiting where the newer half is read first.
  const middle = lines.findIndex((line, index) => index > lines.length / 3 && line.includes(': disconnect from ')) + 1
  const [first, second] = [lines.slice(0, middle), lines.slice(middle)]

  it.each<[string, (readonly string[])[][]]>([
    ['read twice', [[lines], [lines]]],
    ['named twice in one command', [[lines, lines]]],
    ['read as a beginning and then whole', [[first], [lines]]],
    ['read in two rotated halves', [[first], [second]]],
    ['read in two rotated halves, the newer one first', [[second], [first]]],
    ['named as two rotated halves in the wrong order', [[second, first]]],
    ['read in halves and then whole', [[first], [second], [lines]]],
  ])('becomes the same rows when it is %s', async (_, runs) => {
    expect(await rowsOf(runs)).toEqual(whole)
  })

  it('becomes the same rows when it is packed', async () => {
    expect(await rowsOf([[first], [second], [lines]], true)).toEqual(whole)
  })

  it('is metered once, however often it is read', async () => {
    await rowsOf([[lines]])
    const entries = await meterAll(test.database)
    await rowsOf([[first], [second], [lines]])
    expect(await meterAll(test.database)).toEqual(entries)
    expect(entries.length).toBeGreaterThan(0)
  })
})
