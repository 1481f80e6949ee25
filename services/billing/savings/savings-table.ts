/** The rows of a savings report as a table for exports; what stands beside them goes into the manifest. */
import type { SavingsReport } from '../../contracts/savings.ts'
import type { Table, TableFormat } from '../exports/table.ts'

export function savingsTable({ rows, completeness: _, ...head }: Omit<SavingsReport, 'completeness'> & { completeness?: unknown }, format: TableFormat): Table {
  const table = rows.map((row) => [row.label, String(row.groupCount), String(row.attemptCount), String(row.declaredCount), row.floorBytes, String(row.undeclaredCount)])
  return {
    columns: [
      { name: head.by, kind: 'text' },
      { name: 'groups', kind: 'count' },
      { name: 'attempts', kind: 'count' },
      { name: 'declared_groups', kind: 'count' },
      { name: 'floor_bytes', kind: 'octets' },
      { name: 'undeclared_groups', kind: 'count' },
    ],
    batches: (async function* () {
      yield table
    })(),
    format,
    head,
    sheetName: 'savings',
  }
}
