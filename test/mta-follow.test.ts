/** A live log is followed through rotation and stops, and ends in the rows that the whole file has. */
import { appendFile, rename, truncate, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { followMtaFile } from '../services/ingest/mta/follow-mta-file.ts'
import { MtaLoader } from '../services/ingest/mta/mta-loader.ts'
import { addTenant, emptyTables, snapshotOf, withTemporaryFolder, type RowSnapshot } from './ingest-rows.ts'
import { goldenLines, ingestMta, mtaSettings } from './mta-fixture.ts'
import { createTestDatabase, type TestDatabase } from './test-database.ts'

const lines = goldenLines('postfix.txt')
const part = (from: number, upto: number): string => lines.slice(from, upto).map((line) => `${line}\n`).join('')
let test: TestDatabase
let whole: RowSnapshot

beforeAll(async () => {
  test = await createTestDatabase()
  await addTenant(test.database)
  await withTemporaryFolder(async (folder) => {
    await writeFile(path.join(folder, 'whole'), part(0, lines.length))
    await ingestMta(test.database, 'postfix', [path.join(folder, 'whole')])
  })
  whole = await snapshotOf(test.database)
})
afterAll(async () => {
  await test.drop()
})
beforeEach(async () => {
  await emptyTables(test.url)
})

/** Follows until `steps` are done, each begun when all that was there is stored. */
async function follow(file: string, steps: (() => Promise<void>)[]): Promise<void> {
  const stopping = new AbortController()
  const options = { database: test.database, settings: mtaSettings('postfix'), clock: { timeZone: 'UTC', year: 2026 }, host: 'postfix' }
  await MtaLoader.with(options, async (loader) => {
    const left = [...steps]
    let looksToGo = 2
    let work = Promise.resolve()
    await followMtaFile(loader, file, stopping.signal, () => {
      const step = left.shift()
      if (step !== undefined) work = work.then(step)
      else if ((looksToGo -= 1) <= 0) stopping.abort()
    })
    await work
  })
}

it('ends in the same rows when the log is renamed, emptied in its place, and rotated while nobody follows', async () => {
  await withTemporaryFolder(async (folder) => {
    const file = path.join(folder, 'mail.log')
    const [a, b, c, d, e] = [20, 45, 60, 80, 95] as const
    await writeFile(file, part(0, a))
    await follow(file, [
      () => appendFile(file, part(a, b)),
      async () => {
        await rename(file, `${file}.1`)
        await writeFile(file, part(b, c))
      },
    ])
    // Nobody follows: more lines, and a rotation.
    await appendFile(file, part(c, d))
    await rename(file, `${file}.2`)
    await writeFile(file, part(d, e))
    await follow(file, [
      async () => {
        await truncate(file, 0)
        await appendFile(file, part(e, lines.length))
      },
    ])
  })
  expect(await snapshotOf(test.database)).toEqual(whole)
})

it('has every event once when the process is ended before or after a commit', async () => {
  await withTemporaryFolder(async (folder) => {
    const file = path.join(folder, 'mail.log')
    await writeFile(file, part(0, lines.length))
    for (const step of ['before-commit', 'committed']) {
      const ended = ingestMta(test.database, 'postfix', [file], {
        onStep: (at) => {
          if (at === step) throw new Error('ended here')
        },
      })
      await expect(ended).rejects.toThrow('ended here')
    }
    await ingestMta(test.database, 'postfix', [file])
  })
  expect(await snapshotOf(test.database)).toEqual(whole)
})
