import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Attachment } from '../../contracts/event.ts'
import { HeaderCollector, parseHeaderSection } from './header-section.ts'
import { MimeWalk } from './mime-walk.ts'

function walk(message: string, cuts: readonly number[] = []): Attachment[] {
  const octets = Buffer.from(message)
  const header = new HeaderCollector(65_536)
  header.write(octets)
  const mime = new MimeWalk(parseHeaderSection(header.section()))
  const body = octets.subarray(header.endBytes ?? octets.length)
  const places = [0, ...cuts.map((cut) => cut % (body.length + 1)).sort((a, b) => a - b)]
  places.forEach((from, index) => mime.write(body.subarray(from, places[index + 1] ?? body.length)))
  mime.end()
  return mime.attachments
}

/** Content as a mail program encodes it: base64 in lines of 76. */
const base64 = (content: Buffer) => (content.toString('base64').match(/.{1,76}/g) ?? []).join('\r\n')
const part = (headers: string, body: string) => `--b1\r\n${headers}\r\n\r\n${body}\r\n`
const multipart = (...parts: string[]) =>
  `Content-Type: multipart/mixed; boundary="b1"\r\n\r\npreamble\r\n${parts.join('')}--b1--\r\nepilogue\r\n`
const pdf = (content: Buffer) =>
  part(
    'Content-Type: application/pdf\r\nContent-Disposition: attachment; filename="scan.pdf"\r\nContent-Transfer-Encoding: base64',
    base64(content),
  )

describe('the walk over a MIME message', () => {
  it('finds name, type and decoded size of attachments, wherever packets are split', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 400 }),
        fc.array(fc.nat(), { maxLength: 5 }),
        (content, cuts) => {
          const message = multipart(part('Content-Type: text/plain', 'hello'), pdf(Buffer.from(content)))
          // Padding is counted with the content: at most two octets too many.
          const [found, ...others] = walk(message, cuts)
          expect(others).toEqual([])
          expect(found).toMatchObject({ name: 'scan.pdf', type: 'application/pdf' })
          expect(found!.sizeBytes - content.length).toBeGreaterThanOrEqual(0)
          expect(found!.sizeBytes - content.length).toBeLessThanOrEqual(2)
          expect(walk(message)).toEqual([found])
        },
      ),
      { numRuns: 500 },
    )
  })

  it('goes into nested parts and comes out of them', () => {
    const inner =
      'Content-Type: multipart/alternative; boundary=b2\r\n\r\n--b2\r\nContent-Type: text/plain\r\n\r\nx\r\n--b2\r\nContent-Type: image/png; name=inner.png\r\n\r\nPNG\r\n--b2--'
    const [headers, body] = [inner.slice(0, inner.indexOf('\r\n\r\n')), inner.slice(inner.indexOf('\r\n\r\n') + 4)]
    expect(walk(multipart(part(headers, body), pdf(Buffer.from('pdf'))))).toEqual([
      { name: 'inner.png', type: 'image/png', sizeBytes: 3 },
      { name: 'scan.pdf', type: 'application/pdf', sizeBytes: 3 },
    ])
  })

  it('decodes names as mail programs write them', () => {
    const named = (header: string) =>
      walk(multipart(part(`Content-Type: application/zip\r\n${header}`, 'x')))[0]?.name
    expect(named("Content-Disposition: attachment; filename*=utf-8''Gr%C3%BC%C3%9Fe.zip")).toBe('Grüße.zip')
    expect(named('Content-Disposition: attachment; filename="=?utf-8?Q?Gr=C3=BC=C3=9Fe.zip?="')).toBe('Grüße.zip')
    expect(named('Content-Disposition: attachment')).toBeNull()
  })

  it('sees a message that is one attachment, and none in a plain text', () => {
    expect(walk('Content-Type: application/pdf; name=a.pdf\r\n\r\nPDF')).toEqual([
      { name: 'a.pdf', type: 'application/pdf', sizeBytes: 3 },
    ])
    expect(walk('Content-Type: text/plain\r\n\r\nhello')).toEqual([])
    expect(walk('Subject: a\r\n\r\nhello')).toEqual([])
  })

  it('takes whatever is sent, and lists a bounded number of parts', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.constantFrom(
            '\r\n',
            '--b1',
            '--',
            'Content-Type: multipart/mixed; boundary=b1',
            'a: b',
            ' ',
            '--b1--',
            ';',
            '"',
          ),
          { maxLength: 60 },
        ),
        (pieces) => {
          expect(() => walk(multipart(pieces.join('')))).not.toThrow()
        },
      ),
    )
    expect(walk(multipart(...Array.from({ length: 500 }, () => pdf(Buffer.from('x')))))).toHaveLength(200)
  })
})
