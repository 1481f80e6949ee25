/** Sends encoded rows to their tables by COPY. Locks the tables in the order of `copiedTables`. */
import type pg from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import { copiedTables, type CopiedTable, type CopyRows } from './copy-rows.ts'

/** The server works on a piece while the next one is on its way. */
const pieceBytes = 262_144

export async function copyTables(client: pg.PoolClient, rows: CopyRows, onStep?: (step: string) => void | Promise<void>): Promise<void> {
  for (const [name, columns] of Object.entries(copiedTables)) {
    const table = rows.tables[name as CopiedTable]
    if (table.rowCount === 0) continue
    await copyInto(client, `copy ${name} (${columns}) from stdin (format binary)`, table.finished())
    await onStep?.(`copied ${name}`)
  }
}

function copyInto(client: pg.PoolClient, statement: string, octets: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const stream = client.query(copyFrom(statement))
    stream.on('error', reject)
    stream.on('finish', resolve)
    let sent = 0
    const send = (): void => {
      while (sent < octets.length) {
        const piece = octets.subarray(sent, sent + pieceBytes)
        sent += piece.length
        if (!stream.write(piece)) {
          stream.once('drain', send)
          return
        }
      }
      stream.end()
    }
    send()
  })
}
