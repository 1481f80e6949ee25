/** The lines of statements as a table for every export; figures as they stand on the statement. */
import type { Statement } from '../../contracts/statement.ts'
import { minorDigitsOf } from '../../contracts/money.ts'
import { unitNameOf } from '../../contracts/byte-unit.ts'
import { decimalText, over, fraction, parseFraction } from '../rating/fraction.ts'
import type { ExcelProfile, Table, TableFormat, TableRow } from '../exports/table.ts'

export function statementTable(statements: readonly Statement[], format: TableFormat, profile?: ExcelProfile): Table {
  const first = statements[0]
  const decimals = first === undefined ? 2 : minorDigitsOf(first.currency)
  return {
    columns: [
      { name: 'statement', kind: 'id' },
      { name: 'period', kind: 'text' },
      { name: 'client', kind: 'id' },
      { name: 'client_name', kind: 'text' },
      { name: 'line', kind: 'count' },
      { name: 'kind', kind: 'text' },
      { name: 'of_period', kind: 'text' },
      { name: 'tariff', kind: 'id' },
      { name: 'tariff_version', kind: 'count' },
      { name: 'component', kind: 'text' },
      { name: 'direction', kind: 'text' },
      { name: 'tier', kind: 'count' },
      { name: 'quantity', kind: 'amount', decimals: 6 },
      { name: 'unit', kind: 'text' },
      { name: 'count', kind: 'amount', decimals: 6 },
      { name: 'price', kind: 'amount', decimals: 6 },
      { name: 'net', kind: 'amount', decimals },
      { name: 'tax_percent', kind: 'amount' },
      { name: 'tax', kind: 'amount', decimals },
      { name: 'currency', kind: 'text' },
    ],
    batches: batchesOf(statements),
    format,
    ...(profile === undefined ? {} : { profile }),
    head: {
      statements: statements.map(({ statementId, total, hash }) => ({ statementId, total, hash })),
      timeZone: first?.timeZone ?? null,
      unitBytes: first?.unitBytes ?? null,
      currency: first?.currency ?? null,
    },
    sheetName: 'statement',
  }
}

async function* batchesOf(statements: readonly Statement[]): AsyncGenerator<TableRow[]> {
  for (const statement of statements) yield rowsOf(statement)
}

function rowsOf(statement: Statement): TableRow[] {
  return statement.lines.map((line) => [
    statement.statementId,
    statement.period,
    statement.clientId,
    statement.clientName,
    String(line.line),
    line.kind,
    line.ofPeriod,
    line.tariffId,
    line.tariffVersion === null ? null : String(line.tariffVersion),
    line.componentKind,
    line.direction,
    line.tier === null ? null : String(line.tier + 1),
    quantityText(statement, line),
    line.quantity === null ? null : unitNameOf(statement.unitBytes),
    line.count === null ? null : decimalText(parseFraction(line.count), 6),
    line.price,
    line.amount,
    line.taxPercent,
    line.tax,
    statement.currency,
  ])
}

/** In units of the statement, to six digits. */
export function quantityText(statement: Pick<Statement, 'unitBytes'>, { quantity }: Statement['lines'][number]): string | null {
  return quantity === null ? null : decimalText(over(parseFraction(quantity), fraction(BigInt(statement.unitBytes))), 6)
}
