import { describe, expect, it } from 'vitest'
import { maxReplyBytes, ReplyReader, replyText } from './smtp-reply.ts'

const dialog = '220 inner ESMTP\r\n250-inner\r\n250-PIPELINING\r\n250 SIZE 1000\r\n550-5.1.1 no\r\n550 5.1.1 such user\r\n250\r\n354 go\n'
const replies = [
  { code: 220, enhanced: null, text: 'inner ESMTP' },
  { code: 250, enhanced: null, text: 'inner\nPIPELINING\nSIZE 1000' },
  { code: 550, enhanced: '5.1.1', text: 'no\nsuch user' },
  { code: 250, enhanced: null, text: '' },
  { code: 354, enhanced: null, text: 'go' },
]

describe('replies of a next hop', () => {
  it('are the same however the network cuts them', () => {
    for (let split = 0; split <= dialog.length; split += 1) {
      const reader = new ReplyReader()
      const read = [...reader.push(Buffer.from(dialog.slice(0, split))), ...reader.push(Buffer.from(dialog.slice(split)))]
      expect(read, `split at ${split}`).toEqual(replies)
    }
    const reader = new ReplyReader()
    expect([...dialog].flatMap((octet) => reader.push(Buffer.from(octet)))).toEqual(replies)
  })

  it.each(['hello\r\n', '12 x\r\n', '650 x\r\n', '2500 x\r\n', '250_x\r\n', '\r\n'])('%j is no reply and is quoted in the error', (line) => {
    expect(() => new ReplyReader().push(Buffer.from(line))).toThrow(`no reply: ${line.trimEnd()}`)
  })

  it('that never end are refused, as one line or as many', () => {
    expect(() => new ReplyReader().push(Buffer.alloc(maxReplyBytes + 1, 'x'))).toThrow('endless')
    const reader = new ReplyReader()
    expect(() => {
      for (;;) reader.push(Buffer.from(`250-${'x'.repeat(500)}\r\n`))
    }).toThrow('endless')
  })

  it('read as one line in words', () => {
    expect(replyText({ code: 550, enhanced: '5.1.1', text: 'no' })).toBe('550 5.1.1 no')
    expect(replyText({ code: 250, enhanced: null, text: '' })).toBe('250')
  })
})
