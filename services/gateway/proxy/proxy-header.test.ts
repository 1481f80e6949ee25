import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { longestBytes, readProxyHeader } from './proxy-header.ts'

const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')

export function binaryHeader(command: number, family: number, body: Buffer): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(body.length)
  return Buffer.concat([signature, Buffer.from([command, family]), length, body])
}

const v4Body = Buffer.from([203, 0, 113, 7, 192, 0, 2, 1, 0xd4, 0x31, 0, 25])
const v6Body = Buffer.from('20010db8000000000000000000000007' + '20010db8000000000000000000000001' + 'd431' + '0019', 'hex')
const rest = Buffer.from('EHLO x\r\n')

describe('a PROXY header', () => {
  it('of version 1 tells the remote, or that it is unknown', () => {
    const source = (line: string) => {
      const reading = readProxyHeader(Buffer.from(`${line}\r\nEHLO x\r\n`))
      return reading.status === 'whole' && reading.headerBytes === line.length + 2 ? reading.source : reading
    }
    expect(source('PROXY TCP4 203.0.113.7 192.0.2.1 54321 25')).toEqual({ ip: '203.0.113.7', port: 54_321 })
    expect(source('PROXY TCP6 2001:DB8:0::7 2001:db8::1 0 65535')).toEqual({ ip: '2001:db8::7', port: 0 })
    expect(source('PROXY TCP6 ::ffff:10.0.0.1 ::1 1 25')).toEqual({ ip: '::ffff:10.0.0.1', port: 1 })
    expect(source('PROXY UNKNOWN')).toBe('unknown')
    expect(source('PROXY UNKNOWN ffff:f...f:ffff 65535 65535')).toBe('unknown')
  })

  it('of version 1 that is malformed is none', () => {
    for (const line of [
      'PROXY',
      'PROXY ',
      'proxy TCP4 203.0.113.7 192.0.2.1 54321 25',
      'PROXY TCP4 203.0.113.7 192.0.2.1 54321',
      'PROXY TCP4 203.0.113.7 192.0.2.1 54321 25 ',
      'PROXY TCP4  203.0.113.7 192.0.2.1 54321 25',
      'PROXY TCP4 2001:db8::7 192.0.2.1 54321 25',
      'PROXY TCP6 203.0.113.7 2001:db8::1 54321 25',
      'PROXY TCP6 fe80::1%eth0 2001:db8::1 54321 25',
      'PROXY TCP4 203.0.113.007 192.0.2.1 54321 25',
      'PROXY TCP4 203.0.113.7 192.0.2.1 065 25',
      'PROXY TCP4 203.0.113.7 192.0.2.1 65536 25',
      'PROXY TCP4 203.0.113.7 192.0.2.1 -1 25',
      'PROXY UNKNOWNX',
      'PROXY UDP4 203.0.113.7 192.0.2.1 1 25',
      'EHLO x',
    ]) {
      expect(`${line}: ${readProxyHeader(Buffer.from(`${line}\r\n`)).status}`).toBe(`${line}: none`)
    }
    expect(readProxyHeader(Buffer.from(`PROXY UNKNOWN ${'x'.repeat(92)}`)).status).toBe('partial')
    expect(readProxyHeader(Buffer.from(`PROXY UNKNOWN ${'x'.repeat(93)}`)).status).toBe('none')
  })

  it('of version 2 tells the remote, that it is unknown, or that it is the proxy itself', () => {
    const source = (header: Buffer) => {
      const reading = readProxyHeader(Buffer.concat([header, rest]))
      return reading.status === 'whole' && reading.headerBytes === header.length ? reading.source : reading
    }
    expect(source(binaryHeader(0x21, 0x11, v4Body))).toEqual({ ip: '203.0.113.7', port: 54_321 })
    expect(source(binaryHeader(0x21, 0x21, Buffer.concat([v6Body, Buffer.from('020003616263', 'hex')])))).toEqual({ ip: '2001:db8::7', port: 54_321 })
    expect(source(binaryHeader(0x20, 0x11, v4Body))).toBe('proxy')
    expect(source(binaryHeader(0x21, 0x00, Buffer.alloc(0)))).toBe('unknown')
    expect(source(binaryHeader(0x21, 0x12, v4Body))).toBe('unknown')
    expect(source(binaryHeader(0x21, 0x31, Buffer.alloc(216)))).toBe('unknown')
  })

  it('of version 2 that is malformed is none', () => {
    for (const header of [
      binaryHeader(0x11, 0x11, v4Body),
      binaryHeader(0x22, 0x11, v4Body),
      binaryHeader(0x21, 0x11, v4Body.subarray(0, 11)),
      binaryHeader(0x21, 0x21, v6Body.subarray(0, 35)),
      binaryHeader(0x21, 0x11, Buffer.alloc(longestBytes - 15)),
    ])
      expect(readProxyHeader(header).status).toBe('none')
    expect(readProxyHeader(binaryHeader(0x21, 0x11, Buffer.alloc(longestBytes - 16))).status).toBe('whole')
  })

  it('says the same however it is cut, and takes no octet behind it', () => {
    const header = fc.oneof(
      fc.constant(binaryHeader(0x21, 0x11, v4Body)),
      fc.constant(binaryHeader(0x21, 0x21, v6Body)),
      fc.constant(Buffer.from('PROXY TCP4 203.0.113.7 192.0.2.1 54321 25\r\n')),
      fc.constant(Buffer.from('PROXY UNKNOWN\r\n')),
    )
    fc.assert(
      fc.property(header, fc.uint8Array({ maxLength: 40 }), (octets, behind) => {
        for (let upto = 0; upto < octets.length; upto += 1) expect(readProxyHeader(octets.subarray(0, upto)).status).toBe('partial')
        expect(readProxyHeader(Buffer.concat([octets, behind]))).toMatchObject({ status: 'whole', headerBytes: octets.length })
      }),
    )
  })

  it('is never read out of anything else, and nothing makes the reader throw or wait beyond its bounds', () => {
    const beginning = fc.constantFrom(Buffer.alloc(0), signature, Buffer.from('PROXY '), Buffer.from('PROXY TCP4 '))
    fc.assert(
      fc.property(beginning, fc.uint8Array({ maxLength: 300 }), (start, behind) => {
        const octets = Buffer.concat([start, behind])
        const reading = readProxyHeader(octets)
        if (reading.status === 'whole') {
          expect(start.length).toBeGreaterThan(0)
          expect(reading.headerBytes).toBeLessThanOrEqual(octets.length)
        } else if (reading.status === 'partial') expect(octets.length).toBeLessThan(longestBytes)
        // Once it is decided, more octets change nothing.
        if (reading.status !== 'partial') expect(readProxyHeader(Buffer.concat([octets, rest]))).toEqual(reading)
      }),
      { numRuns: 2_000 },
    )
  })
})
