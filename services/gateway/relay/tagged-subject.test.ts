import libmime from 'libmime'
import { describe, expect, it } from 'vitest'
import { withTaggedSubject } from './tagged-subject.ts'

function tagged(message: string, tag = '[SPAM]'): string {
  return withTaggedSubject(Buffer.from(message), tag).toString()
}

/** The subject as a mail program shows it. */
function shownSubject(message: string): string {
  const header = message.slice(0, message.indexOf('\r\n\r\n'))
  const value = /^subject:((?:.|\r\n[ \t])*)/im.exec(header)![1]!
  return libmime.decodeWords(value.replace(/\r\n(?=[ \t])/g, '').trim())
}

describe('the tag before the subject', () => {
  it.each([
    ['Subject: hello\r\n\r\nb', 'Subject: [SPAM] hello\r\n\r\nb', 'plain'],
    ['Subject:hello\r\n\r\nb', 'Subject: [SPAM] hello\r\n\r\nb', 'no blank after the colon'],
    ['SUBJECT: hello\r\n\r\nb', 'SUBJECT: [SPAM] hello\r\n\r\nb', 'the name in any case'],
    ['Subject : hello\r\n\r\nb', 'Subject : [SPAM] hello\r\n\r\nb', 'a blank before the colon'],
    ['Subject: a\r\n b\r\nTo: x\r\n\r\nb', 'Subject: [SPAM] a\r\n b\r\nTo: x\r\n\r\nb', 'folded'],
    ['Subject:\r\n hello\r\n\r\nb', 'Subject: [SPAM]\r\n hello\r\n\r\nb', 'folded at once'],
    ['Subject:\r\n\r\nb', 'Subject: [SPAM]\r\n\r\nb', 'empty'],
    ['Subject: [SPAM] hello\r\n\r\nb', 'Subject: [SPAM] hello\r\n\r\nb', 'there already'],
    ['Subject: Re: [SPAM] hello\r\n\r\nb', 'Subject: Re: [SPAM] hello\r\n\r\nb', 'there already, in a reply'],
    ['Subject: =?utf-8?q?=5BSPAM=5D_x?=\r\n\r\nb', 'Subject: =?utf-8?q?=5BSPAM=5D_x?=\r\n\r\nb', 'there already, encoded'],
    ['Subject: =?utf-8?b?0J/RgNC4?=\r\n\r\nb', 'Subject: [SPAM] =?utf-8?b?0J/RgNC4?=\r\n\r\nb', 'an encoded word stays as it is'],
    ['To: x\r\n\r\nSubject: body\r\n', 'Subject: [SPAM]\r\nTo: x\r\n\r\nSubject: body\r\n', 'none; the body is no header'],
    ['To: x\r\n Subject: folded\r\n\r\nb', 'Subject: [SPAM]\r\nTo: x\r\n Subject: folded\r\n\r\nb', 'a folded line is no field'],
    ['Subject: a\r\nTo: x\r\nSubject: b\r\n\r\n', 'Subject: [SPAM] a\r\nTo: x\r\nSubject: [SPAM] b\r\n\r\n', 'two of them'],
    ['Subject: a', 'Subject: [SPAM] a', 'no end of the header'],
    ['', 'Subject: [SPAM]\r\n', 'nothing'],
  ])('%j becomes %j: %s', (message, expected) => {
    expect(tagged(message)).toBe(expected)
    expect(tagged(expected), 'a second time changes nothing').toBe(expected)
  })

  it.each([
    ['Subject: hello\r\n\r\n', '[СПАМ] hello'],
    ['Subject: =?utf-8?b?0J/RgNC4?=\r\n\r\n', '[СПАМ] При'],
    ['Subject:\r\n =?utf-8?b?0J/RgNC4?=\r\n\r\n', '[СПАМ] При'],
  ])('a tag that is not ASCII is encoded: %j is shown as %j', (message, shown) => {
    const result = tagged(message, '[СПАМ]')
    expect(/^[\x20-\x7e\r\n]*$/.test(result)).toBe(true)
    expect(shownSubject(result)).toBe(shown)
    expect(tagged(result, '[СПАМ]')).toBe(result)
  })

  it('a line that the tag would make too long is folded after the tag', () => {
    const message = `Subject: ${'x'.repeat(988)}\r\n\r\nb`
    const result = tagged(message)
    for (const line of result.split('\r\n')) expect(line.length).toBeLessThanOrEqual(998)
    expect(shownSubject(result)).toBe(`[SPAM] ${'x'.repeat(988)}`)
  })

  it('a tag with line ends cannot add a header', () => {
    expect(tagged('Subject: a\r\n\r\n', 'x\r\nBcc: y')).toBe('Subject: x Bcc: y a\r\n\r\n')
  })

  it('octets that are no UTF-8 stay as they are', () => {
    const message = Buffer.from('Subject: caf\xe9\r\n\r\nb\xe9', 'latin1')
    expect(withTaggedSubject(message, '[SPAM]').toString('latin1')).toBe('Subject: [SPAM] caf\xe9\r\n\r\nb\xe9')
  })
})
