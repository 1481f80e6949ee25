import { expect, it } from 'vitest'
import { configOf } from '../../../test/gateway-harness.ts'
import { NetworkTable, neighbourhoodOf, plainIp } from './network-table.ts'

const table = new NetworkTable(
  configOf(`networks:
  - {name: office, class: trusted, cidrs: [10.0.0.0/8, '2001:db8::/32']}
  - {name: printers, class: device, relay: true, cidrs: [10.1.0.0/16]}
  - {name: guests, class: public, cidrs: [10.1.2.0/24]}
  - {name: one, class: device, cidrs: [10.1.2.3, '2001:db8::1']}
`).networks,
)

it('finds the network with the longest prefix, and the public one where none fits', () => {
  const found = (ip: string) => {
    const { name, class: networkClass, mayRelay } = table.networkOf(ip)
    return `${name} ${networkClass} ${mayRelay}`
  }
  expect(found('10.200.0.1')).toBe('office trusted true')
  expect(found('10.1.0.1')).toBe('printers device true')
  expect(found('10.1.2.255')).toBe('guests public false')
  expect(found('10.1.2.3')).toBe('one device false')
  expect(found('11.0.0.0')).toBe('null public false')
  expect(found('2001:db8:1::9')).toBe('office trusted true')
  expect(found('2001:db8::1')).toBe('one device false')
  expect(found('2001:db9::1')).toBe('null public false')
  expect(found('::ffff:10.1.2.3')).toBe('one device false')
  expect(table.networkOf(null).class).toBe('public')
})

it('counts neighbours of one network together', () => {
  expect(neighbourhoodOf('192.0.2.1')).toBe(neighbourhoodOf('192.0.2.254'))
  expect(neighbourhoodOf('192.0.2.1')).not.toBe(neighbourhoodOf('192.0.3.1'))
  expect(neighbourhoodOf('2001:db8::1')).toBe(neighbourhoodOf('2001:db8::ffff:1'))
  expect(neighbourhoodOf('2001:db8::1')).not.toBe(neighbourhoodOf('2001:db8:0:1::1'))
  expect(plainIp('::ffff:192.0.2.1')).toBe('192.0.2.1')
  expect(plainIp('2001:db8::1')).toBe('2001:db8::1')
})
