/**
 * The directory as CSV, one line an address, and back: export and import give the same again.
 *
 * Owns    the columns client_id, name, parent, state, address. A client without an address has one line with none.
 * Why     a text that a spreadsheet would run gets an apostrophe in front, as in every export, and loses it again here.
 * Fails   a DirectoryFault names every faulty line with its number, as the file counts them.
 */
import { parse } from 'csv-parse/sync'
import { clientStates, type ClientState, type DirectoryFile } from '../../contracts/directory.ts'
import type { Table } from '../exports/table.ts'
import { DirectoryFault } from '../wanted-directory.ts'

const columns = ['client_id', 'name', 'parent', 'state', 'address'] as const
type Line = Record<(typeof columns)[number], string>

export function directoryTable(directory: DirectoryFile): Table {
  return {
    columns: columns.map((name) => ({ name, kind: 'text' as const })),
    batches: (async function* () {
      for (const client of directory.clients) yield linesOf(client)
    })(),
    format: 'csv',
    head: {},
  }
}

function linesOf({ id, name, parent, state = 'active', addresses }: DirectoryFile['clients'][number]): (string | null)[][] {
  return (addresses.length === 0 ? [null] : addresses).map((address) => [id, name, parent ?? null, state, address])
}

export function parseDirectoryCsv(text: string): DirectoryFile {
  const faults: string[] = []
  const clients = new Map<string, DirectoryFile['clients'][number]>()
  for (const { line, record } of linesOfCsv(text)) {
    const fault = (told: string): void => void faults.push(`line ${line}: ${told}`)
    const { client_id: id, name, parent, state, address } = record
    if (!/^[a-z0-9][a-z0-9._-]{0,62}$/.test(id)) {
      fault(`client_id is "${id}": write lower-case letters, digits, ".", "_" and "-"`)
      continue
    }
    if (name === '' || name.length > 200) fault('name has 1 to 200 characters')
    if (state !== '' && !isState(state)) fault(`state is "${state}": write one of ${clientStates.join(', ')}`)
    if (address !== '' && !/^[^@\s]+@[^@\s]+$/.test(address)) fault(`address is "${address}": write one like ann@example.org, or *@example.org`)
    const wanted = { id, name, state: isState(state) ? state : 'active', addresses: [], ...(parent === '' ? {} : { parent }) } satisfies DirectoryFile['clients'][number]
    const known = clients.get(id)
    if (known === undefined) clients.set(id, { ...wanted, addresses: address === '' ? [] : [address] })
    else if (known.name !== name || known.state !== wanted.state || (known.parent ?? '') !== parent) fault(`name, parent or state of ${id} is another than on its first line`)
    else if (address !== '') known.addresses.push(address)
  }
  if (faults.length > 0) throw new DirectoryFault(faults.slice(0, 1_000))
  return { clients: [...clients.values()] }
}

function linesOfCsv(text: string): { line: number; record: Line }[] {
  // An empty file would read as a directory in which nobody is left.
  if (text.trim() === '') throw new DirectoryFault([`the file is empty: its first line names the columns ${columns.join(', ')}`])
  try {
    const records = parse(text, { columns: header, bom: true, info: true, skip_empty_lines: true, delimiter: delimiterOf(text) }) as unknown as { record: Line; info: { lines: number } }[]
    return records.map(({ record, info }) => ({ line: info.lines, record: Object.fromEntries(columns.map((name) => [name, unguarded(record[name] ?? '')])) as Line }))
  } catch (error) {
    if (error instanceof DirectoryFault) throw error
    throw new DirectoryFault([(error as Error).message])
  }
}

/** Spreadsheets of half the world write semicolons; the header has no other use for one. */
function delimiterOf(text: string): ',' | ';' {
  const end = text.search(/[\r\n]/)
  return (end < 0 ? text : text.slice(0, end)).includes(';') ? ';' : ','
}

function header(names: string[]): string[] {
  const missing = (['client_id', 'name'] as const).filter((name) => !names.includes(name))
  const unknown = names.filter((name) => !columns.some((known) => known === name))
  if (missing.length > 0) throw new DirectoryFault([`line 1: there is no column ${missing.join(', ')}: the columns are ${columns.join(', ')}`])
  if (unknown.length > 0) throw new DirectoryFault([`line 1: there is no column ${unknown.join(', ')}: the columns are ${columns.join(', ')}`])
  return names
}

/** Takes away the apostrophe that an export put before a text that a spreadsheet would run. */
function unguarded(text: string): string {
  return /^'+[=+\-@\t\r\n＝＋－＠]/.test(text) ? text.slice(1) : text
}

function isState(text: string): text is ClientState {
  return clientStates.some((state) => state === text)
}
