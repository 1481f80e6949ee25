import { describe, expect, it } from 'vitest'
import { parseTraceQuery } from '../../../../services/contracts/trace-query.ts'
import { lineName, lineQuery, sortedLines, sortingFrom, type UsageRow } from './usage-lines.ts'

const row = (changes: Partial<UsageRow>): UsageRow => ({
  clientId: null, clientName: null, recipient: null, domain: null, day: null, direction: 'inbound',
  messageCount: '1', billedBytes: '0', unbilledBytes: '0', ...changes,
})

describe('a line of the usage report', () => {
  it('is named after what it groups, and the house has no name of its own', () => {
    expect(lineName(row({ clientId: 'acme', clientName: 'Acme Ltd' }), 'client')).toBe('Acme Ltd')
    expect(lineName(row({ clientId: 'acme' }), 'client')).toBe('acme')
    expect(lineName(row({}), 'client')).toBeNull()
    expect(lineName(row({ direction: 'outbound' }), 'direction')).toBe('outbound')
  })
  it.each([
    [row({ clientId: 'acme' }), 'client', null, 'client:acme'],
    [row({}), 'client', null, 'client:house'],
    [row({ recipient: 'ann@corp.test' }), 'recipient', null, 'to:ann@corp.test'],
    [row({ recipient: 'ann@corp.test' }), 'recipient', 'acme', 'to:ann@corp.test client:acme'],
    [row({ domain: 'corp.test' }), 'domain', 'house', 'to:*@corp.test client:house'],
    [row({ day: '2026-11-01' }), 'day', 'acme', 'client:acme'],
    [row({ day: '2026-11-01' }), 'day', null, ''],
  ] as const)('%o by %s of client %s opens %s', (line, by, client, query) => {
    expect(lineQuery(line, by, client)).toBe(query)
    expect(parseTraceQuery(query)).toHaveProperty('query')
  })
})

describe('sorting', () => {
  const rows = [row({ clientId: 'b', billedBytes: '9007199254740993' }), row({ clientId: 'a', billedBytes: '9007199254740992' }), row({ clientId: 'c', billedBytes: '10' })]
  it('compares octets exactly beyond 2^53', () => {
    expect(sortedLines(rows, 'client', { key: 'billed', isDescending: true }).map((one) => one.clientId)).toEqual(['b', 'a', 'c'])
  })
  it('shows the largest first, and days in their order', () => {
    expect(sortingFrom('', 'client')).toEqual({ key: 'billed', isDescending: true })
    expect(sortingFrom('', 'day')).toEqual({ key: 'name', isDescending: false })
    expect(sortingFrom('-messages', 'day')).toEqual({ key: 'messages', isDescending: true })
    expect(sortingFrom('nonsense', 'client')).toEqual({ key: 'billed', isDescending: true })
  })
})
