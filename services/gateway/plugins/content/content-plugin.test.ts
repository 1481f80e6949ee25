import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { pluginHarness } from '../../../../test/plugin-harness.ts'

const document = Buffer.from('salaries of all')
const lists = `[
  {name: confidential, words: [internal use only, Präfix], patterns: ['project\\s+(falcon|osprey)'], fileNames: ['^salaries.*\\.xlsx$']},
  {name: plans, sha256: [${createHash('sha256').update(document).digest('hex').toUpperCase()}]}]`

async function found(message: string | Buffer, settings = ''): Promise<[string, string | null]> {
  const harness = await pluginHarness(`{content: [{onFailure: closed, lists: ${lists}${settings}}]}`)
  const client = harness.connect('192.0.2.7')
  expect(await client.deliver(Buffer.from(message).toString('latin1'), ['else@where.example'])).toMatch(/^250 /)
  const { result, detail } = harness.log.transactions[0]!.plugins[0]!
  return [result, detail]
}

const text = (body: string, type = 'text/plain; charset=utf-8', encoding = '8bit'): string =>
  `Subject: hello\r\nContent-Type: ${type}\r\nContent-Transfer-Encoding: ${encoding}\r\n\r\n${body}\r\n`
const base64 = (octets: Buffer | string): string => Buffer.from(octets).toString('base64').replace(/.{76}/g, '$&\r\n')
const mixed = (...parts: string[]): string =>
  `Subject: hello\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n${parts.map((part) => `--b\r\n${part}\r\n`).join('')}--b--\r\n`
const file = (name: string, content: Buffer, encoding = 'base64'): string =>
  `Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename="${name}"\r\nContent-Transfer-Encoding: ${encoding}\r\n\r\n${encoding === 'base64' ? base64(content) : content.toString('latin1')}`

const phrase = 'for Internal  Use\r\nOnly, please'
const hit = ['confidential', 'confidential: "internal use only"']

describe('a list of words is found', () => {
  it.each<[string, string]>([
    ['in plain text, over a line end', text(phrase)],
    ['in the subject, encoded', '=?utf-8?b?'.replace(/^/, 'Subject: ') + `${Buffer.from('internal use only').toString('base64')}?=\r\n\r\ntext\r\n`],
    ['in base64', text(base64(`${'x '.repeat(2_000)}${phrase}`), 'text/plain', 'base64')],
    ['in quoted-printable, over a soft line end', text('for inter=\r\nnal=20use on=6Cy', 'text/plain', 'quoted-printable')],
    ['in HTML, through tags and entities', text('<style>p { x: y }</style><p>in<b>ter</b>nal&nbsp;use</p><p>&#111;nly</p>', 'text/html')],
    ['in UTF-16', text(base64(Buffer.from(phrase, 'utf16le')), 'text/plain; charset=utf-16le', 'base64')],
    ['in the second part', mixed('Content-Type: text/plain\r\n\r\nnothing', `Content-Type: text/html\r\n\r\n<p>${phrase}`)],
    ['in a text file that is attached', mixed('\r\nnothing', `Content-Type: text/plain; name=a.txt\r\nContent-Disposition: attachment\r\n\r\n${phrase}`)],
    ['in a message that is attached', mixed('\r\nnothing', `Content-Type: message/rfc822\r\n\r\n${text(phrase)}`)],
    ['split by an invisible character', text(base64('inter\u00adnal use on\u200bly'), 'text/plain; charset=utf-8', 'base64')],
    ['far into a long text', text(`${'some words of text\r\n'.repeat(20_000)}${phrase}`)],
    ['across the end of a window', text(`${'x'.repeat(8_185)} ${phrase}`)],
  ])('%s', async (_where, message) => {
    expect(await found(message)).toEqual(hit)
  })

  it('as whole words only, with their umlauts', async () => {
    expect(await found(text('internal use onlyx, präfixe'))).toEqual(['clear', null])
    expect(await found(text('das PRÄFIX'))).toEqual(['confidential', 'confidential: "präfix"'])
    expect(await found(text(`${'x'.repeat(8_191)}internal use only`))).toEqual(['clear', null])
  })

  it('by a pattern, and the log shows what it matched', async () => {
    expect(await found(text('about Project\r\nOsprey again'))).toEqual(['confidential', 'confidential: "Project Osprey"'])
  })
})

describe('a file is found', () => {
  it.each<[string, string, [string, string | null]]>([
    ['by its name', mixed('\r\ntext', file('Salaries 2026.xlsx', Buffer.from('x'))), ['confidential', 'confidential: file Salaries 2026.xlsx']],
    ['by its content, under any name', mixed('\r\ntext', file('holiday.jpg', document)), ['plans', 'plans: file holiday.jpg']],
    ['by its content without an encoding', mixed('\r\ntext', file('holiday.jpg', document, '7bit')), ['plans', 'plans: file holiday.jpg']],
    ['with both lists in the log', mixed('\r\ntext', file('salaries.xlsx', document)), ['confidential', 'confidential: file salaries.xlsx; plans: file salaries.xlsx']],
    ['not by one octet more', mixed('\r\ntext', file('holiday.jpg', Buffer.concat([document, Buffer.from('.')]))), ['clear', null]],
  ])('%s', async (_how, message, expected) => {
    expect(await found(message)).toEqual(expected)
  })

  it('in octets that come in pieces of any size', async () => {
    const { ContentReader } = await import('./read-content.ts')
    const message = Buffer.from(mixed('Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=\r\nb=C3=A4', file('a', document)))
    for (const size of [1, 2, 3, 7, 64, 1_000]) {
      const reader = new ContentReader(1_000)
      for (let at = 0; at < message.length; at += size) reader.write(message.subarray(at, at + size))
      expect(reader.end()).toEqual({
        texts: ['hello', 'abä'],
        files: [{ name: 'a', type: 'application/octet-stream', sha256: createHash('sha256').update(document).digest('hex') }],
        isTextCut: false,
      })
    }
  })
})

it('is skipped, not clear, where text was left unread and nothing was found', async () => {
  expect(await found(text(`${'x '.repeat(600)}internal use only`), ', textBytes: 1000')).toEqual(['skipped', 'nothing in the first 1000 octets of text'])
  expect((await found(text(`internal use only ${'x '.repeat(600)}`), ', textBytes: 1000'))[0]).toBe('confidential')
})

it('reads text that is made to hurt in time', async () => {
  expect(await found(text('<'.repeat(900_000), 'text/html'))).toEqual(['clear', null])
  expect(await found(text('=4'.repeat(400_000), 'text/plain', 'quoted-printable'))).toEqual(['clear', null])
  expect(await found(text('&#'.repeat(400_000), 'text/html'))).toEqual(['clear', null])
})

it('keeps the gateway from starting where a pattern has a mistake, and names the list', async () => {
  await expect(pluginHarness('{content: [{onFailure: open, lists: [{name: a, patterns: ["(x"]}]}]}')).rejects.toThrow('plugins.content: list a: patterns: "(x"')
})
