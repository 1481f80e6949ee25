import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Harness } from '../../../test/gateway-harness.ts'
import { AliasesFile, readAliases, targetsOf, type Aliases } from './aliases.ts'

let folder: string
let file: string
const normalization = { lowerCaseLocalPart: true }
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'tollgate-aliases-'))
  file = path.join(folder, 'aliases.yaml')
})
afterAll(() => rm(folder, { recursive: true }))

async function read(...lines: string[]): Promise<Aliases> {
  await writeFile(file, `aliases:\n${lines.map((line) => `  - ${line}\n`).join('')}`)
  return readAliases(file, normalization)
}

const of = (aliases: Aliases, address: string): readonly string[] => targetsOf(aliases, address, address.toLowerCase())

describe('aliases', () => {
  it('stand for their final targets, each once, and others for themselves', async () => {
    const aliases = await read(
      '{address: All@Example.com, to: [team@example.com, ann@example.com, X@far.example]}',
      '{address: team@example.com, to: [bob@example.com, ann@example.com]}',
      '{address: ann@example.com, to: [ann@example.com, archive@far.example]}',
    )
    expect(of(aliases, 'all@example.com')).toEqual(['bob@example.com', 'ann@example.com', 'archive@far.example', 'X@far.example'])
    expect(of(aliases, 'ann@example.com')).toEqual(['ann@example.com', 'archive@far.example'])
    expect(of(aliases, 'Other@example.com')).toEqual(['Other@example.com'])
  })

  it('that go in a circle are faults, told with the way round', async () => {
    await expect(
      read('{address: a@x.example, to: [b@x.example]}', '{address: b@x.example, to: [c@x.example, d@x.example]}', '{address: c@x.example, to: [A@x.example]}'),
    ).rejects.toThrow('aliases.yaml:2: aliases[0]: goes in a circle: a@x.example → b@x.example → c@x.example → a@x.example')
  })

  it('that lead to too many, stand twice or are no addresses are faults', async () => {
    const many = (count: number) => read(`{address: a@x.example, to: [${Array.from({ length: count }, (_, index) => `n${index}@x.example`).join()}]}`)
    expect(of(await many(500), 'a@x.example')).toHaveLength(500)
    await expect(many(501)).rejects.toThrow('leads to more than 500 addresses')
    await expect(read('{address: a@x.example, to: [b@x.example]}', '{address: A@X.example, to: [c@x.example]}')).rejects.toThrow('aliases[1]: A@X.example stands in the file twice')
    await expect(read('{address: a, to: [b@x.example]}')).rejects.toThrow('aliases[0].address')
  })

  it('of a file that can no longer be used stay in force', async () => {
    await read('{address: a@x.example, to: [b@x.example]}')
    const lost: string[] = []
    const source = new AliasesFile(file, normalization, (sentence) => lost.push(sentence))
    await source.open()
    await writeFile(file, 'aliases: [{address: a@x.example, to: [a@x.example, c@x.example]}]')
    expect(await source.refresh(false)).toBe(true)
    expect(of(source.current, 'a@x.example')).toEqual(['a@x.example', 'c@x.example'])
    await writeFile(file, 'aliases: what')
    expect(await source.refresh(false)).toBe(false)
    expect(of(source.current, 'a@x.example')).toEqual(['a@x.example', 'c@x.example'])
    expect(lost).toHaveLength(1)
  })

  it('change where mail goes, and not whom the event names and bills', async () => {
    const harness = new Harness()
    harness.policy = { ...harness.policy, aliases: new Map([['a@example.com', ['x@far.example', 'b@example.com']]]) }
    expect(await harness.connect().deliver('Subject: x\r\n\r\n', ['A@example.com', 'b@example.com'])).toMatch(/Ok: queued/)
    expect(harness.spool.released[0]!.envelope!.recipients.map(({ address }) => address)).toEqual(['x@far.example', 'b@example.com'])
    expect(harness.log.transactions[0]!.recipients).toMatchObject([
      { address: 'A@example.com', normalized: 'a@example.com', clientId: 'acme', direction: 'inbound' },
      { address: 'b@example.com', clientId: 'acme' },
    ])
  })

  it('make no address known', async () => {
    const harness = new Harness()
    harness.policy = { ...harness.policy, aliases: new Map([['z@example.com', ['a@example.com']]]) }
    const client = harness.connect()
    await client.deliver('Subject: x\r\n\r\n', ['z@example.com'])
    await client.hangUp()
    expect(harness.log.transactions).toMatchObject([{ outcome: 'refused', reason: 'unknown-recipient' }])
    expect(harness.spool.released).toEqual([])
  })
})
