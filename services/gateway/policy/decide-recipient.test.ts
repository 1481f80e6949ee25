import { describe, expect, it } from 'vitest'
import { configOf } from '../../../test/gateway-harness.ts'
import type { DirectoryClient } from '../../contracts/directory.ts'
import { decideRecipient } from './decide-recipient.ts'
import { directoryOf, emptyDirectory, withStatus, type Directory } from './directory.ts'
import { noRules } from './load-rules.ts'
import { policyOf } from './policy-source.ts'

const clients: DirectoryClient[] = [
  { id: 'acme', name: 'Acme', addresses: ['Anna@Example.com'] },
  { id: 'wild', name: 'Wild', addresses: ['*@wild.example', 'vip@example.com'] },
  { id: 'off', name: 'Off', state: 'blocked', addresses: ['off@example.com', 'abuse@example.com'] },
]

function decide(address: string, mayRelay: boolean, settings = '', directory?: Directory): string {
  const config = configOf(
    `recipients: {domains: [Example.com, wild.example, bücher.example]${settings === '' ? '' : `, ${settings}`}}`,
  )
  const policy = policyOf(config, noRules(), directory ?? directoryOf(clients, config.recipients))
  const { outcome, reason, reply, clientId } = decideRecipient(policy, mayRelay, address)
  return `${outcome} ${reply.code} ${reason ?? '-'} ${clientId ?? '-'}`
}

describe('who may receive', () => {
  it('is decided by domain, then postmaster, then directory, then the state of the client', () => {
    const table: [address: string, decision: string][] = [
      ['anna@example.com', 'accepted 250 - acme'],
      ['ANNA@EXAMPLE.COM', 'accepted 250 - acme'],
      ['x@example.com', 'refused 550 unknown-recipient -'],
      ['x@wild.example', 'accepted 250 - wild'],
      ['x@sub.wild.example', 'refused 554 relay-denied -'],
      ['x@elsewhere.example', 'refused 554 relay-denied -'],
      ['anna@[192.0.2.1]', 'refused 554 relay-denied -'],
      ['off@example.com', 'refused 550 client-blocked off'],
      ['postmaster@example.com', 'accepted 250 - -'],
      ['PostMaster@example.com', 'accepted 250 - -'],
      ['abuse@example.com', 'accepted 250 - off'],
      ['postmaster', 'accepted 250 - -'],
      ['postmaster@elsewhere.example', 'refused 554 relay-denied -'],
      ['x@xn--bcher-kva.example', 'refused 550 unknown-recipient -'],
      ['x@bücher.example', 'refused 550 unknown-recipient -'],
    ]
    for (const [address, decision] of table)
      expect(`${address}: ${decide(address, false)}`).toBe(`${address}: ${decision}`)
  })

  it('lets only a remote that may relay write outside, and holds it to the directory inside', () => {
    expect(decide('x@elsewhere.example', true)).toBe('accepted 250 - -')
    expect(decide('x@example.com', true)).toBe('refused 550 unknown-recipient -')
  })

  it('never follows a route through an address, except one that the directory holds by name', () => {
    for (const address of [
      'x%elsewhere.example@example.com',
      'elsewhere.example!x@wild.example',
      '"x@elsewhere.example"@wild.example',
    ]) {
      expect(`${address} ${decide(address, false, 'mode: domains')}`).toContain(`${address} refused 554 relay-denied`)
    }
    const named = directoryOf([{ id: 'odd', name: 'Odd', addresses: ['50%off@example.com'] }], {
      lowerCaseLocalPart: true,
    })
    expect(decide('50%off@example.com', false, '', named)).toBe('accepted 250 - odd')
  })

  it('depends on what is known of the directory', () => {
    const current = directoryOf(clients, { lowerCaseLocalPart: true })
    const table: [directory: Directory, mode: string, known: string, unknown: string][] = [
      [current, 'known', 'accepted 250 - acme', 'refused 550 unknown-recipient -'],
      [current, 'domains', 'accepted 250 - acme', 'accepted 250 - -'],
      [withStatus(current, 'stale'), 'known', 'accepted 250 - acme', 'deferred 451 directory-unavailable -'],
      [withStatus(current, 'stale'), 'domains', 'accepted 250 - acme', 'accepted 250 - -'],
      [
        emptyDirectory('unavailable'),
        'known',
        'deferred 451 directory-unavailable -',
        'deferred 451 directory-unavailable -',
      ],
      [
        emptyDirectory('unavailable'),
        'domains',
        'deferred 451 directory-unavailable -',
        'deferred 451 directory-unavailable -',
      ],
      [
        emptyDirectory('none'),
        'known',
        'deferred 451 directory-unavailable -',
        'deferred 451 directory-unavailable -',
      ],
      [emptyDirectory('none'), 'domains', 'accepted 250 - -', 'accepted 250 - -'],
    ]
    for (const [directory, mode, known, unknown] of table) {
      const place = `${directory.status} ${mode}:`
      expect(`${place} ${decide('anna@example.com', false, `mode: ${mode}`, directory)}`).toBe(`${place} ${known}`)
      expect(`${place} ${decide('x@example.com', false, `mode: ${mode}`, directory)}`).toBe(`${place} ${unknown}`)
    }
  })

  it('keeps the case of local parts where the tenant says so', () => {
    const exact = directoryOf(clients, { lowerCaseLocalPart: false })
    expect(decide('Anna@example.com', false, 'lowerCaseLocalPart: false', exact)).toBe('accepted 250 - acme')
    expect(decide('anna@example.com', false, 'lowerCaseLocalPart: false', exact)).toBe(
      'refused 550 unknown-recipient -',
    )
  })
})
