import { describe, expect, it } from 'vitest'
import { visibleOctets, visibleText } from './visible-text.ts'

describe('text of strangers', () => {
  it.each([
    ['\u001b[2J\u001b]0;title\u0007x', '\\x1b[2J\\x1b]0;title\\x07x'],
    ['a\r\nb\tc\0', 'a\\r\\nb\\tc\\0'],
    ['\u202egnp.exe', '\\u{202e}gnp.exe'],
    ['\u009b31m', '\\x9b31m'],
    ['zero\u200bwidth', 'zero\\u{200b}width'],
    ['Übersicht 🙂 отчёт', 'Übersicht 🙂 отчёт'],
  ])('%j is shown as %j', (text, shown) => expect(visibleText(text)).toBe(shown))

  it('shows octets that are no UTF-8 one by one, and the rest as it is', () => {
    expect(visibleOctets(Buffer.from([0x61, 0xc3, 0x28, 0xff, 0xc3, 0xa9, 0x00, 0xe2, 0x82]))).toBe('a\\xc3(\\xffé\\0\\xe2\\x82')
  })
})
