import { PassThrough } from 'node:stream'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { clientStates, type DirectoryFile } from '../../contracts/directory.ts'
import { writeTable } from '../exports/write-table.ts'
import { DirectoryFault } from '../wanted-directory.ts'
import { directoryTable, parseDirectoryCsv } from './directory-csv.ts'

async function csvOf(directory: DirectoryFile): Promise<string> {
  const output = new PassThrough()
  const chunks: Buffer[] = []
  output.on('data', (chunk: Buffer) => chunks.push(chunk))
  await writeTable(directoryTable(directory), output)
  return Buffer.concat(chunks).toString('utf8')
}

const faultsOf = (csv: string): readonly string[] => {
  try {
    parseDirectoryCsv(csv)
    return []
  } catch (error) {
    return (error as DirectoryFault).faults
  }
}

it('gives the same directory again, whatever stands in names', async () => {
  const nasty = fc.string({ minLength: 1, maxLength: 20, unit: fc.constantFrom('a', ' ', '"', ',', ';', '\n', '\r', "'", '=', '+', '-', '@', '\t', '＝', 'é', '漢') })
  const id = fc.integer({ min: 0, max: 99 }).map((number) => `c${number}`)
  const client = fc.record({ id, name: nasty, state: fc.constantFrom(...clientStates), addresses: fc.uniqueArray(fc.constantFrom('+a@x.test', '=b@x.test', "'c@x.test", '*@y.test', 'd@x.test')) })
  await fc.assert(fc.asyncProperty(fc.uniqueArray(client, { selector: ({ id: name }) => name, maxLength: 6 }), async (clients) => {
    const directory: DirectoryFile = { clients: clients.map((one, index) => ({ ...one, ...(index > 0 ? { parent: clients[0]!.id } : {}) })) }
    expect(parseDirectoryCsv(await csvOf(directory))).toEqual(directory)
  }))
})

it('names every faulty line with its number, and takes nothing', () => {
  expect(faultsOf('client_id,name,parent,state,address\nacme,Acme,,active,a@x.test\nAcme,Acme,,,\nb,,,,\nc,C,,asleep,x\nacme,Other,,active,b@x.test\n')).toEqual([
    'line 3: client_id is "Acme": write lower-case letters, digits, ".", "_" and "-"',
    'line 4: name has 1 to 200 characters',
    'line 5: state is "asleep": write one of active, blocked, balance-exhausted, quota, expired, not-started',
    'line 5: address is "x": write one like ann@example.org, or *@example.org',
    'line 6: name, parent or state of acme is another than on its first line',
  ])
  expect(faultsOf('\n')).toEqual(['the file is empty: its first line names the columns client_id, name, parent, state, address'])
  expect(faultsOf('client_id,nam\na,b\n')).toEqual(['line 1: there is no column name: the columns are client_id, name, parent, state, address'])
  expect(faultsOf('client_id,name,colour\na,b,c\n')[0]).toContain('there is no column colour')
  expect(faultsOf('client_id,name\na,"b\n')[0]).toMatch(/Quote/)
  expect(faultsOf('client_id,name\na,b,c\n')[0]).toMatch(/line 2/)
})

it('takes what a spreadsheet saves: a mark at the front, semicolons, no state', () => {
  expect(parseDirectoryCsv('\ufeffclient_id;name;parent;state;address\r\nacme;Acme, Ltd.;;;a@x.test\r\n')).toEqual({ clients: [{ id: 'acme', name: 'Acme, Ltd.', state: 'active', addresses: ['a@x.test'] }] })
})
