import { BlockList, isIP } from 'node:net'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { IpPrefixSet, maskedPrefix, parseIpAddress, parseIpPrefix, type IpPrefix } from './ip-prefix-set.ts'

const setOf = (...networks: string[]): IpPrefixSet =>
  new IpPrefixSet(networks.map((network) => parseIpPrefix(network)!))
const has = (set: IpPrefixSet, address: string): boolean => set.has(parseIpAddress(address)!)

describe('networks', () => {
  it.each([
    ['192.0.2.0/24', '192.0.2.0', true],
    ['192.0.2.0/24', '192.0.2.255', true],
    ['192.0.2.0/24', '192.0.1.255', false],
    ['192.0.2.0/24', '192.0.3.0', false],
    ['192.0.2.7', '192.0.2.7', true],
    ['192.0.2.7', '192.0.2.6', false],
    ['0.0.0.0/0', '255.255.255.255', true],
    ['0.0.0.0/0', '::1', false],
    ['128.0.0.0/1', '128.0.0.0', true],
    ['128.0.0.0/1', '127.255.255.255', false],
    ['::/0', '2001:db8::1', true],
    ['::/0', '10.0.0.1', false],
    ['2001:db8::/32', '2001:db8:ffff::1', true],
    ['2001:db8::/32', '2001:db9::', false],
    ['2001:db8::/127', '2001:db8::1', true],
    ['2001:db8::/127', '2001:db8::2', false],
    ['10.0.0.0/8', '::ffff:10.1.2.3', true],
    ['10.0.0.0/8', '::ffff:0a01:0203', true],
    ['::ffff:10.0.0.0/104', '10.1.2.3', true],
    ['::ffff:10.0.0.0/104', '11.0.0.0', false],
    ['fe80::/10', 'fe80::1%eth0', true],
  ])('%s holds %s: %s', (network, address, expected) => {
    expect(has(setOf(network), address)).toBe(expected)
  })

  it.each([
    '',
    '10.0.0',
    '10.0.0.256',
    '010.0.0.1',
    '10.0.0.0/33',
    '10.0.0.1/8',
    '10.0.0.0/08',
    '::/129',
    '1::2::3',
    'g::',
  ])('takes "%s" for no network', (text) => expect(parseIpPrefix(text)).toBeNull())

  it('proposes the network that an address with too many bits was meant to be', () => {
    expect(maskedPrefix('192.168.17.5/20')).toBe('192.168.16.0/20')
    expect(maskedPrefix('200.1.2.3/0')).toBe('0.0.0.0/0')
    expect(maskedPrefix('nonsense')).toBeNull()
  })
})

describe('against the address tables of Node', () => {
  const ipv6 = fc.ipV6()
  const address = fc.oneof(fc.ipV4(), ipv6)

  it('reads exactly the texts that are addresses, and looks them up alike', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(address, fc.nat(128)), { minLength: 1, maxLength: 20 }),
        address,
        (networks, sought) => {
          // One table per version: that of Node holds an IPv4 address inside ::/0.
          const tables = { 4: new BlockList(), 6: new BlockList() }
          const prefixes: IpPrefix[] = []
          for (const [base, wish] of networks) {
            const parsed = parseIpAddress(base)!
            if ((parsed.version === 4) !== (isIP(base) === 4)) continue
            const width = parsed.version === 4 ? 32 : 128
            const length = Math.min(wish, width)
            const hostBits = BigInt(width - length)
            prefixes.push({ version: parsed.version, bits: (parsed.bits >> hostBits) << hostBits, length })
            tables[parsed.version].addSubnet(base, length, `ipv${parsed.version}`)
          }
          const found = parseIpAddress(sought)!
          if ((found.version === 4) !== (isIP(sought) === 4)) return
          const expected = tables[found.version].check(sought, `ipv${found.version}`)
          expect(new IpPrefixSet(prefixes).has(found)).toBe(expected)
        },
      ),
      { numRuns: 500 },
    )
  })

  it('agrees on what is an address at all', () => {
    const nearly = fc.oneof(address, fc.stringMatching(/^[0-9a-f:.]{0,20}$/))
    fc.assert(
      fc.property(nearly, (text) => (parseIpAddress(text) !== null) === (isIP(text) !== 0)),
      { numRuns: 2_000 },
    )
  })
})
