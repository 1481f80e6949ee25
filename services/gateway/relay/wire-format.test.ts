import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { WireFormat } from './wire-format.ts'

function wireOf(text: string | Buffer, splits: readonly number[] = []): string {
  const octets = Buffer.from(text)
  const wire = new WireFormat()
  const parts: Buffer[] = []
  let from = 0
  for (const split of [...splits].sort((a, b) => a - b)) {
    const upto = Math.min(split, octets.length)
    parts.push(...wire.push(octets.subarray(from, upto)))
    from = upto
  }
  parts.push(...wire.push(octets.subarray(from)))
  return Buffer.concat(parts).toString('latin1') + wire.end()
}

describe('the wire format of a message', () => {
  it.each([
    ['a\r\nb\r\n', 'a\r\nb\r\n.\r\n', 'plain lines stay'],
    ['.\r\n', '..\r\n.\r\n', 'a dot alone at the start'],
    ['a\r\n.\r\nb\r\n', 'a\r\n..\r\nb\r\n.\r\n', 'a dot line inside'],
    ['a\r\n..b\r\n', 'a\r\n...b\r\n.\r\n', 'two dots'],
    ['a.b\r\nc.\r\n', 'a.b\r\nc.\r\n.\r\n', 'dots elsewhere stay'],
    ['', '.\r\n', 'no octets at all'],
    ['no line end', 'no line end\r\n.\r\n', 'a last line without its end'],
    ['a\n.\nb\n', 'a\r\n..\r\nb\r\n.\r\n', 'bare LF around a dot'],
    ['a\r.\rb\r', 'a\r\n..\r\nb\r\n.\r\n', 'bare CR around a dot'],
    ['a\r\n.\rb', 'a\r\n..\r\nb\r\n.\r\n', 'dot and bare CR'],
    ['a\n.\r\nb\r\n', 'a\r\n..\r\nb\r\n.\r\n', 'bare LF, dot, CRLF'],
    ['a\r\r\nb\r\n', 'a\r\n\r\nb\r\n.\r\n', 'two CR'],
    ['a\0b\r\n', 'a\0b\r\n.\r\n', 'NUL is not for this place to judge'],
  ])('%j goes as %j: %s', (text, expected) => {
    expect(wireOf(text)).toBe(expected)
    for (let split = 0; split <= text.length; split += 1) expect(wireOf(text, [split]), `split at ${split}`).toBe(expected)
  })

  const smugglers = fc.array(fc.constantFrom('\r', '\n', '.', 'a', '\0', '\r\n', '\r\n.', '\r\n.\r\n', '\n.\n'), { maxLength: 40 })

  it('whatever is in the message, there is one end of data and it is the last', () => {
    fc.assert(
      fc.property(smugglers, fc.array(fc.nat(80), { maxLength: 5 }), (pieces, splits) => {
        const wire = `\r\n${wireOf(pieces.join(''), splits)}`
        expect(wire.indexOf('\r\n.\r\n')).toBe(wire.length - 5)
        expect(/\r(?!\n)|(?<!\r)\n/.test(wire)).toBe(false)
      }),
      { numRuns: 5_000 },
    )
  })

  it('a message with right line ends comes out as it went in once the dots are taken off', () => {
    const line = fc.string({ unit: fc.constantFrom('.', 'a', ' ', 'é') })
    fc.assert(
      fc.property(fc.array(line), fc.array(fc.nat(200), { maxLength: 5 }), (lines, splits) => {
        const message = lines.map((text) => `${text}\r\n`).join('')
        const wire = wireOf(message, splits)
        const content = wire.slice(0, -3).replace(/(^|\r\n)\.\./g, '$1.')
        expect(content).toBe(Buffer.from(message).toString('latin1'))
      }),
      { numRuns: 2_000 },
    )
  })
})
