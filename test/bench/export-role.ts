/** A process that writes so many rows in one format to nowhere, and prints the most memory it took. */
import { Writable } from 'node:stream'
import { writeTable } from '../../services/billing/exports/write-table.ts'
import type { TableFormat, TableRow } from '../../services/billing/exports/table.ts'

const [format, count] = [process.argv[2] as TableFormat, Number(process.argv[3])]

async function* batches(): AsyncGenerator<TableRow[]> {
  for (let from = 0; from < count; from += 2_000) {
    yield Array.from({ length: Math.min(2_000, count - from) }, (_, index) => {
      const number = from + index
      return [`client-${number % 100}`, `Client, "the ${number % 100}"`, `person.${number}@domain.example`, String(number * 7_919)]
    })
  }
}

const columns = (['client_id', 'client_name', 'recipient', 'billed_bytes'] as const).map((name, place) => ({
  name,
  kind: (['id', 'text', 'text', 'octets'] as const)[place]!,
}))
const nowhere = new Writable({ write: (_octets, _encoding, done) => setImmediate(done) })
const { rows } = await writeTable({ columns, batches: batches(), format, head: {} }, nowhere)
process.stdout.write(JSON.stringify({ rows, maxRssBytes: process.resourceUsage().maxRSS * 1_024 }))
