import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { startEmbeddedPostgres } from './embedded-postgres.ts'

describe('embedded Postgres', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'tollgate-embedded-'))
  })
  afterEach(async () => {
    await rm(folder, { recursive: true, force: true })
  })

  it('finds its rows again after a stop, and adopts a server that its supervisor left behind', async () => {
    const first = await startEmbeddedPostgres({ folder, isThrowAway: true })
    await query(first.url, 'create table kept (value int); insert into kept values (7)')
    const adopted = await startEmbeddedPostgres({ folder, isThrowAway: true })
    expect(adopted.pid).toBe(first.pid)
    await adopted.stop()
    await expect(query(first.url, 'select 1')).rejects.toThrow()
    const second = await startEmbeddedPostgres({ folder, isThrowAway: true })
    try {
      expect(await query(second.url, 'select value from kept')).toEqual([{ value: 7 }])
    } finally {
      await second.stop()
    }
  })

  it('starts over where an earlier start was interrupted while the cluster was made', async () => {
    await mkdir(path.join(folder, 'cluster'))
    await writeFile(path.join(folder, 'cluster', 'half'), 'made')
    const server = await startEmbeddedPostgres({ folder, isThrowAway: true })
    try {
      expect(await query(server.url, 'select 1 as one')).toEqual([{ one: 1 }])
    } finally {
      await server.stop()
    }
  })

  it.runIf(process.getuid?.() === 0)('names the folder that the user postgres may not enter', async () => {
    const closed = path.join(folder, 'closed')
    await chmod(folder, 0o755)
    await mkdir(closed, { mode: 0o700 })
    await expect(startEmbeddedPostgres({ folder: path.join(closed, 'data') })).rejects.toThrow(`may not enter ${closed}`)
  })
})

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const result = await client.query(sql)
    return result.rows
  } finally {
    await client.end()
  }
}
