import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DataScanner, type LineEndPolicy } from './data-scanner.ts'

type Scanned = { message: string; rest: string; isEnded: boolean; flaws: string[]; messageBytes: number }

function scanAll(chunks: readonly Buffer[], lineEnds: LineEndPolicy): Scanned {
  const scanner = new DataScanner(lineEnds)
  const octets: Buffer[] = []
  let rest = Buffer.alloc(0)
  let isEnded = false
  for (const chunk of chunks) {
    if (isEnded) {
      rest = Buffer.concat([rest, chunk])
      continue
    }
    const scanned = scanner.scan(chunk)
    octets.push(Buffer.from(scanned.octets))
    isEnded = scanned.isEnd
    if (isEnded) rest = Buffer.from(chunk.subarray(scanned.consumedBytes))
    else expect(scanned.consumedBytes).toBe(chunk.length)
  }
  const message = Buffer.concat(octets)
  expect(scanner.messageBytes).toBe(message.length)
  return {
    message: message.toString('latin1'),
    rest: rest.toString('latin1'),
    isEnded,
    flaws: [...scanner.flaws].sort(),
    messageBytes: scanner.messageBytes,
  }
}

/** What RFC 5321 says, written the slow and obvious way. */
function expectedStrict(input: string): { message: string; rest: string; isEnded: boolean } {
  const end = `\r\n${input}`.indexOf('\r\n.\r\n')
  const message = end < 0 ? input : input.slice(0, end)
  const rest = end < 0 ? '' : input.slice(end + 3)
  return { message: `\r\n${message}`.replaceAll('\r\n.', '\r\n').slice(2), rest, isEnded: end >= 0 }
}

const bytes = (text: string) => Buffer.from(text, 'latin1')
const nasty = fc
  .array(fc.constantFrom('\r', '\n', '.', '\r\n', '\r\n.', '\r\n.\r\n', '\n.\n', '\0', 'a', 'MAIL', ' '), {
    maxLength: 40,
  })
  .map((parts) => parts.join(''))

function cutAt(input: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.map((cut) => cut % (input.length + 1)))].sort((a, b) => a - b)
  return [0, ...places].map((from, index) => input.subarray(from, places[index] ?? input.length))
}

describe('the end-of-data scanner', () => {
  it('finds the one end of data that RFC 5321 defines, whatever the octets before it', () => {
    fc.assert(
      fc.property(nasty, (input) => {
        const scanned = scanAll([bytes(input)], 'strict')
        const expected = expectedStrict(input)
        expect(scanned.isEnded).toBe(expected.isEnded)
        expect(scanned.rest).toBe(expected.rest)
        // What may still become the end of data is not message yet.
        if (expected.isEnded) expect(scanned.message).toBe(expected.message)
        else expect(expected.message.startsWith(scanned.message)).toBe(true)
      }),
      { numRuns: 3_000 },
    )
  })

  it('gives the same message for every split into packets', () => {
    for (const lineEnds of ['strict', 'normalise'] as const) {
      fc.assert(
        fc.property(nasty, fc.array(fc.nat(), { maxLength: 6 }), (input, cuts) => {
          const whole = scanAll([bytes(input)], lineEnds)
          expect(scanAll(cutAt(bytes(input), cuts), lineEnds)).toEqual(whole)
          expect(
            scanAll(
              [...bytes(input)].map((octet) => Buffer.from([octet])),
              lineEnds,
            ),
          ).toEqual(whole)
        }),
        { numRuns: 1_000 },
      )
    }
  })

  it('never ends a message at what only resembles the end of data', () => {
    const ends = [
      '\n.\n',
      '\n.\r\n',
      '\r\n.\n',
      '\r.\r',
      '\r.\r\n',
      '\r\n.\r',
      '\n\r.\r\n',
      '\r\n.\0\r\n',
      '\r\n\0.\r\n',
      '\r\r\n.\r\r\n',
    ]
    for (const lookalike of ends) {
      const input = `Subject: a\r\n\r\nbody${lookalike}MAIL FROM:<evil@example>\r\nDATA\r\n.\r\nQUIT\r\n`
      for (let cut = 0; cut <= input.length; cut += 1) {
        const scanned = scanAll([bytes(input.slice(0, cut)), bytes(input.slice(cut))], 'strict')
        expect(scanned.rest).toBe('QUIT\r\n')
        expect(scanned.flaws).not.toEqual([])
      }
    }
  })

  it('names every flaw of the message and none of what follows it', () => {
    expect(scanAll([bytes('a\nb\r\n.\r\n')], 'strict').flaws).toEqual(['bare-lf'])
    expect(scanAll([bytes('a\rb\r\n.\r\n')], 'strict').flaws).toEqual(['bare-cr'])
    expect(scanAll([bytes('a\0b\r\n.\r\n')], 'strict').flaws).toEqual(['nul'])
    expect(scanAll([bytes('a\r\n.\r\nNO\0OP\n')], 'strict').flaws).toEqual([])
    expect(scanAll([bytes('a\r\n.b\r\n..\r\n.\r\n')], 'strict')).toMatchObject({
      flaws: [],
      message: 'a\r\nb\r\n.\r\n',
    })
  })

  it('hands a device its message with canonical line ends and without NUL', () => {
    fc.assert(
      fc.property(nasty, (input) => {
        const { message, flaws } = scanAll([bytes(input)], 'normalise')
        expect(flaws).toEqual([])
        expect(message.replaceAll('\r\n', '')).not.toMatch(/[\n\0]|\r./)
      }),
      { numRuns: 2_000 },
    )
    expect(scanAll([bytes('a\nb\rc\0d\n.e\r\n.\r\n')], 'normalise').message).toBe('a\r\nb\r\ncd\r\n.e\r\n')
  })

  it('counts the octets of RFC 1870: no stuffing, no dot line', () => {
    expect(scanAll([bytes('.\r\n')], 'strict').messageBytes).toBe(0)
    expect(scanAll([bytes('\r\n.\r\n')], 'strict').messageBytes).toBe(2)
    expect(scanAll([bytes('..x\r\n.\r\n')], 'strict').messageBytes).toBe(4)
  })

  it('takes lines of any length', () => {
    const line = 'x'.repeat(300_000)
    expect(scanAll([bytes(`${line}\r\n.\r\n`)], 'strict').messageBytes).toBe(300_002)
  })
})

describe('counted octets', () => {
  const counted = (chunks: readonly Buffer[], lineEnds: LineEndPolicy) => {
    const scanner = new DataScanner(lineEnds, 'counted')
    const octets = chunks.map((chunk) => {
      const scanned = scanner.scan(chunk)
      expect(scanned).toMatchObject({ isEnd: false, consumedBytes: chunk.length })
      return Buffer.from(scanned.octets)
    })
    const message = Buffer.concat([...octets, scanner.end()])
    expect(scanner.messageBytes).toBe(message.length)
    return { message: message.toString('latin1'), flaws: [...scanner.flaws].sort() }
  }

  it('make the same message as DATA, with the same flaws, however either is cut', () => {
    fc.assert(
      fc.property(nasty, fc.array(fc.nat(200)), fc.array(fc.nat(200)), fc.constantFrom('strict', 'normalise'), (input, cuts, otherCuts, lineEnds) => {
        const message = `${input}\r\n`
        const stuffed = `\r\n${message}`.replaceAll('\r\n.', '\r\n..').slice(2)
        const byData = scanAll(cutAt(bytes(`${stuffed}.\r\n`), cuts), lineEnds)
        expect(byData.isEnded).toBe(true)
        expect(counted(cutAt(bytes(message), otherCuts), lineEnds)).toEqual({ message: byData.message, flaws: byData.flaws })
      }),
    )
  })

  it('that end in the middle of a line end have a bare CR, or get what it lacks', () => {
    expect(counted([bytes('a\r')], 'strict')).toEqual({ message: 'a\r', flaws: ['bare-cr'] })
    expect(counted([bytes('a'), bytes('\r')], 'normalise')).toEqual({ message: 'a\r\n', flaws: [] })
    expect(counted([bytes('a')], 'strict')).toEqual({ message: 'a', flaws: [] })
    expect(counted([], 'strict')).toEqual({ message: '', flaws: [] })
  })
})
