import { createHash } from 'node:crypto'
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Writable } from 'node:stream'
import { stringify } from 'csv-stringify/sync'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseCsv } from '../../../test/billing-csv.ts'
import { xlsxRows, type XlsxCell } from '../../../test/xlsx-cells.ts'
import { guardedText } from './csv-text.ts'
import { inBatches, type Table, type TableColumn, type TableRow } from './table.ts'
import { writeTable, writeTableFile } from './write-table.ts'
import { isExactNumber } from './xlsx-octets.ts'

const columns: TableColumn[] = [
  { name: 'client_id', key: 'clientId', kind: 'id', empty: 'house' },
  { name: 'recipient', kind: 'text' },
  { name: 'at', kind: 'time' },
  { name: 'octets', kind: 'octets' },
  { name: 'messages', kind: 'count' },
  { name: 'amount', kind: 'amount', decimals: 2 },
]
const row = (changes: Partial<Record<'id' | 'text' | 'octets' | 'amount', string | null>> = {}): TableRow => [
  changes.id === undefined ? '007' : changes.id,
  changes.text === undefined ? 'anna@acme.example' : changes.text,
  '2026-11-01T00:00:00.000Z',
  changes.octets ?? '1000',
  '1',
  changes.amount ?? '-5.00',
]

type Wanted = Partial<Omit<Table, 'batches'>> & { batchSize?: number }

const tableOf = (rows: readonly TableRow[], { batchSize = 3, ...wanted }: Wanted = {}) => ({
  columns,
  batches: inBatches(
    (async function* () {
      yield* rows
    })(),
    batchSize,
  ),
  format: 'csv' as const,
  head: { timeZone: 'Europe/Berlin', unitBytes: 1_000_000, filter: { by: 'client' } },
  ...wanted,
})

async function written(rows: readonly TableRow[], wanted: Wanted = {}) {
  const chunks: Buffer[] = []
  const output = new Writable({
    highWaterMark: 1,
    write(chunk: Buffer, _encoding, done) {
      chunks.push(Buffer.from(chunk))
      setImmediate(done)
    },
  })
  const manifest = await writeTable(tableOf(rows, wanted), output)
  expect(output.writableEnded).toBe(false)
  return { octets: Buffer.concat(chunks), text: Buffer.concat(chunks).toString(), manifest }
}

const excelDe = { name: 'excel', locale: 'de' } as const

const nastyText = fc
  .oneof(
    fc.string({ unit: 'binary', minLength: 1 }).map((text) => text.replaceAll('\0', '')),
    fc.string({ unit: 'grapheme', minLength: 1 }),
    fc.string({
      unit: fc.constantFrom(
        '"',
        ',',
        ';',
        '\r',
        '\n',
        '\r\n',
        "'",
        '=',
        '+',
        '-',
        '@',
        '＝',
        '＋',
        '－',
        '＠',
        '\t',
        ' ',
        '0',
        'a',
        '\ufeff',
        '\u0001',
        '\ufffe',
        '😀',
        '<',
        '&',
        '_x000D_',
        '_x005F_',
      ),
      minLength: 1,
    }),
  )
  .filter((text) => text !== '')
const integer = fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }).map(String)
const money = fc
  .tuple(fc.bigInt({ min: -(10n ** 20n), max: 10n ** 20n }), fc.nat(99))
  .map(([whole, part]) => `${whole}.${String(part).padStart(2, '0')}`)
const anyRow = fc.tuple(
  fc.option(fc.constantFrom('007', 'acme', '0.c-d')),
  fc.option(nastyText),
  fc.constantFrom('2026-11-01T00:00:00.000Z', '2026-11-01'),
  fc.option(integer),
  fc.option(integer),
  fc.option(money),
)
const anyRows = fc.array(anyRow, { maxLength: 8 })

const unguarded = (text: string) => (/^''*[=+\-@\t\r\n＝＋－＠]/.test(text) ? text.slice(1) : text)
const readBack = (record: readonly string[]): TableRow =>
  record.map((cell, place) =>
    place === 0 && cell === 'house'
      ? null
      : place === 1
        ? cell === ''
          ? null
          : unguarded(cell)
        : cell === ''
          ? null
          : cell,
  )

describe('writing a table', () => {
  it('gives the same rows when its CSV is parsed, whatever is in them', async () => {
    await fc.assert(
      fc.asyncProperty(anyRows, async (rows) => {
        const { text, manifest } = await written(rows)
        const [header, ...records] = parseCsv(text)
        expect(header).toEqual(columns.map(({ name }) => name))
        expect(records.map(readBack)).toEqual(rows)
        expect(manifest.rows).toBe(rows.length)
      }),
    )
  })

  it('joins by hand exactly what csv-stringify would write', async () => {
    await fc.assert(
      fc.asyncProperty(anyRows, async (rows) => {
        const records = rows.map((cells) =>
          cells.map((cell, place) =>
            cell === null ? (columns[place]!.empty ?? '') : place < 3 ? guardedText(cell) : cell,
          ),
        )
        const expected = stringify([columns.map(({ name }) => name), ...records], {
          record_delimiter: 'windows',
          quoted_match: /[\r\n]/,
        })
        expect((await written(rows)).text).toBe(expected)
      }),
    )
  })

  it('gives the same rows when what is for a German Excel is parsed: BOM, semicolons, decimal commas', async () => {
    await fc.assert(
      fc.asyncProperty(anyRows, async (rows) => {
        const { text } = await written(rows, { profile: excelDe })
        expect(text.startsWith('\ufeffclient_id;recipient;at;octets;messages;amount\r\n')).toBe(true)
        const [, ...records] = parseCsv(text.slice(1), ';')
        expect(
          records
            .map(readBack)
            .map((cells) =>
              cells.map((cell, place) => (place === 5 && cell !== null ? cell.replace(',', '.') : cell)),
            ),
        ).toEqual(rows)
      }),
    )
  })

  it('gives the same rows when its JSON or NDJSON is parsed, figures as strings', async () => {
    await fc.assert(
      fc.asyncProperty(anyRows, async (rows) => {
        const expected = rows.map((cells) =>
          Object.fromEntries(cells.map((cell, place) => [columns[place]!.key ?? columns[place]!.name, cell])),
        )
        const lines = (await written(rows, { format: 'ndjson' })).text.split('\n')
        expect(lines.pop()).toBe('')
        expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual(expected)
        expect(JSON.parse((await written(rows, { format: 'json' })).text)).toEqual({
          timeZone: 'Europe/Berlin',
          unitBytes: 1_000_000,
          filter: { by: 'client' },
          rows: expected,
          rowCount: rows.length,
        })
      }),
    )
  })

  it('gives the same rows when its XLSX is parsed, and no digit of a figure is lost', async () => {
    await fc.assert(
      fc.asyncProperty(anyRows, async (rows) => {
        const { octets, manifest } = await written(rows, { format: 'xlsx' })
        const [header, ...records] = xlsxRows(octets)
        expect(header).toEqual(columns.map(({ name }) => name))
        const expected = rows.map((cells) =>
          trimmed(
            cells.map((cell, place): XlsxCell => {
              if (cell === null) return columns[place]!.empty ?? null
              if (place < 3 || !isExactNumber(cell)) return cell
              return { number: cell }
            }),
          ),
        )
        expect(records.map(trimmed).map(asValues)).toEqual(expected.map(asValues))
        const figures = rows.flatMap((cells) => cells.slice(3)).filter((cell) => cell !== null)
        expect(manifest.textFigures ?? 0).toBe(figures.filter((figure) => !isExactNumber(figure)).length)
      }),
      { numRuns: 60 },
    )
  })

  it('writes a figure of 15 digits as a number and one of 16 as a text that shows them all', async () => {
    const { octets, manifest } = await written(
      [
        row({ octets: '999999999999999', amount: '9999999999999.50' }),
        row({ octets: '9007199254740993', amount: '-0.10' }),
      ],
      { format: 'xlsx' },
    )
    const [, first, second] = xlsxRows(octets)
    expect([first![3], first![5], second![3], second![5]]).toEqual([
      { number: '999999999999999' },
      { number: '9999999999999.5' },
      '9007199254740993',
      { number: '-0.1' },
    ])
    expect(first![0]).toBe('007')
    expect(manifest.textFigures).toBe(1)
  })

  it('guards texts that a spreadsheet would run, and leaves amounts below zero alone', async () => {
    const rows = [row({ text: '=cmd()' }), row({ text: '-5.00' }), row({ text: "'=x" }), row({ text: '＠x' })]
    expect((await written(rows)).text.split('\r\n').slice(1, 5)).toEqual([
      "007,'=cmd(),2026-11-01T00:00:00.000Z,1000,1,-5.00",
      "007,'-5.00,2026-11-01T00:00:00.000Z,1000,1,-5.00",
      "007,''=x,2026-11-01T00:00:00.000Z,1000,1,-5.00",
      "007,'＠x,2026-11-01T00:00:00.000Z,1000,1,-5.00",
    ])
    expect((await written(rows, { profile: excelDe })).text.split('\r\n')[2]).toBe(
      "007;'-5.00;2026-11-01T00:00:00.000Z;1000;1;-5,00",
    )
  })

  it.each([
    ['de', ';', '-5,00'],
    ['ru', ';', '-5,00'],
    ['en', ',', '-5.00'],
    ['ja', ',', '-5.00'],
    ['de-CH', ',', '-5.00'],
  ])('separates and points for the Excel of %s as its numbers do', async (locale, delimiter, amount) => {
    const { text, manifest } = await written([row()], { profile: { name: 'excel', locale } })
    expect(text.split('\r\n')[1]!.endsWith(`${delimiter}${amount}`)).toBe(true)
    expect(manifest.profile).toBe(`excel-${locale}`)
  })

  it.each(['csv', 'json', 'ndjson', 'xlsx'] as const)(
    'gives the same octets of %s in whatever batches rows come',
    async (format) => {
      const rows = Array.from({ length: 7 }, (_, index) => row({ text: `r${index}@x` }))
      const hashes = new Set<string>()
      for (const batchSize of [1, 2, 7, 100]) {
        const { octets, manifest } = await written(rows, { format, batchSize })
        expect(manifest).toEqual({
          format,
          rows: 7,
          sha256: createHash('sha256').update(octets).digest('hex'),
          timeZone: 'Europe/Berlin',
          unitBytes: 1_000_000,
          filter: { by: 'client' },
        })
        hashes.add(manifest.sha256)
      }
      expect(hashes.size).toBe(1)
    },
  )

  it.each(['csv', 'json', 'ndjson', 'xlsx'] as const)(
    'refuses by row and column what %s cannot hold',
    async (format) => {
      const rows = [row(), row(), row(), row()]
      await expect(written([...rows, row({ text: 'a\0b' })], { format })).rejects.toThrow(
        'Row 5, column recipient: a text with NUL',
      )
      await expect(written([...rows, row({ text: 'a\ud800b' })], { format })).rejects.toThrow(
        'Row 5, column recipient: half',
      )
      await expect(written([...rows, row({ octets: '=1+1' })], { format })).rejects.toThrow(
        'Row 5, column octets: "=1+1"',
      )
      await expect(written([['a']], { format })).rejects.toThrow('Row 1 has 1 cells for 6 columns')
    },
  )

  it('refuses what does not fit a cell of XLSX, a profile that is none of CSV, and what is no locale', async () => {
    await expect(written([row({ text: 'x'.repeat(32_768) })], { format: 'xlsx' })).rejects.toThrow(
      /Row 1, column recipient: 32768/,
    )
    await expect(written([], { format: 'json', profile: excelDe })).rejects.toThrow('one of CSV')
    await expect(written([], { profile: { name: 'excel', locale: 'x_y' } })).rejects.toThrow('"x_y" is no locale')
  })

  it('leaves the whole file and its manifest, or what was there before', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'tollgate-table-'))
    try {
      const file = path.join(folder, 'a.xlsx')
      const manifest = await writeTableFile(tableOf([row()], { format: 'xlsx' }), file)
      const octets = await readFile(file)
      expect(createHash('sha256').update(octets).digest('hex')).toBe(manifest.sha256)
      expect(JSON.parse(await readFile(`${file}.manifest.json`, 'utf8'))).toEqual(manifest)
      await expect(
        writeTableFile(tableOf([row(), row(), row(), row({ text: '\0' })], { format: 'xlsx' }), file),
      ).rejects.toThrow('NUL')
      expect(await readFile(file)).toEqual(octets)
      expect((await readdir(folder)).sort()).toEqual(['a.xlsx', 'a.xlsx.manifest.json'])
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })
})

const trimmed = (cells: readonly XlsxCell[]): XlsxCell[] => {
  const last = cells.findLastIndex((cell) => cell !== null)
  return cells.slice(0, last + 1)
}
/** Numbers by value: a file may write 5.00 as 5. */
const asValues = (cells: readonly XlsxCell[]) =>
  cells.map((cell) => (cell !== null && typeof cell === 'object' ? { number: Number(cell.number) } : cell))
