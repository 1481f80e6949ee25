/** Postgres is killed while ingest loads: nothing is lost, nothing comes twice. */
import { appendFile, chmod, mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { startEmbeddedPostgres } from '../services/database/embedded-postgres.ts'
import { migrate } from '../services/database/migrate.ts'
import { openDatabase } from '../services/database/open-database.ts'
import { startIngest } from '../services/ingest/main.ts'
import { openOperatorLog } from '../services/kit/operator-log.ts'
import { LogBuilder } from './event-builder.ts'
import { isIngested, snapshotOf, until, withTemporaryFolder } from './ingest-rows.ts'

const log = openOperatorLog('ingest', { level: 'silent' })

describe('ingest', () => {
  it('starts without Postgres, waits while it is killed and away, and then has each event once', { timeout: 180_000 }, async () => {
    await withTemporaryFolder(async (folder) => {
      await chmod(folder, 0o711)
      const postgresFolder = path.join(folder, 'postgres')
      const events = path.join(folder, 'events')
      await mkdir(events)
      let server = await startEmbeddedPostgres({ folder: postgresFolder })
      await migrate(server.url)
      const { port } = new URL(server.url)
      await server.stop()

      const database = openDatabase(server.url, { applicationName: 'test' })
      // Killed twice: within the transaction, and where the commit was sent and its answer is lost.
      const kills = [{ step: 'copied rule_hit', at: 2 }, { step: 'committed', at: 3 }, { step: 'before-commit', at: 5 }]
      let killed = 0
      const service = await startIngest({
        config: { tenant: 'main', data: folder },
        database,
        log,
        onStep: (step) => {
          const due = kills.find((kill) => kill.step === step && --kill.at === 0)
          if (due === undefined) return
          process.kill(server.pid, 'SIGKILL')
          killed += 1
        },
      })
      const builder = new LogBuilder()
      const file = path.join(events, builder.fileName)
      await writeFile(file, builder.segmentStart().join(''))
      let transactionCount = 0
      const write = async (): Promise<void> => {
        const lines = builder.transaction()
        transactionCount += 1
        await appendFile(file, lines.join(''))
      }
      server = await startEmbeddedPostgres({ folder: postgresFolder, port: Number(port) })
      for (const target of [1, 2, 3]) {
        while (killed < target) {
          for (let index = 0; index < 20; index += 1) await write()
          await new Promise((resolve) => setTimeout(resolve, 100))
        }
        server = await restarted(postgresFolder, Number(port), server.pid)
      }
      await until(() => isIngested(database, builder.boot, builder.seq).catch(() => false))
      await service.stop()
      const rows = await snapshotOf(database)
      expect(rows['mail_transaction']).toHaveLength(transactionCount)
      expect(rows['transaction_detail']).toHaveLength(transactionCount)
      expect(rows['session_closed']).toHaveLength(transactionCount)
      expect(rows['rejected_line']).toEqual([])
      expect(rows['miscounted_batch']).toEqual([])
      await database.close()
      await server.stop()
    })
  })
})

/** The server's own processes end only after it; until they did, the next one refuses to start. */
async function restarted(folder: string, port: number, deadPid: number): Promise<Awaited<ReturnType<typeof startEmbeddedPostgres>>> {
  await until(async () => !isRunning(deadPid))
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await startEmbeddedPostgres({ folder, port })
    } catch (error) {
      if (attempt === 20) throw error
      await new Promise((resolve) => setTimeout(resolve, 250))
    }
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
