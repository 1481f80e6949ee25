import { describe, expect, it } from 'vitest'
import { htmlText } from './html-text.ts'
import { previewOf } from './message-preview.ts'

const message = (head: string, body: Buffer | string): Buffer =>
  Buffer.concat([Buffer.from(`${head}\r\n\r\n`, 'latin1'), Buffer.isBuffer(body) ? body : Buffer.from(body, 'latin1')])
const textOf = async (head: string, body: Buffer | string) => {
  const octets = message(head, body)
  const { text, textOf: kind } = await previewOf({ octets } as never)
  return [kind, text]
}
const utf16 = (text: string, isBigEndian: boolean): Buffer => {
  const octets = Buffer.from(text, 'utf16le')
  return isBigEndian ? octets.swap16() : octets
}

describe('the text of a held message', () => {
  it.each<[string, string, Buffer | string, string]>([
    ['without a type', 'Subject: x', 'plain\r\n', 'plain\n'],
    ['in utf-8', 'Content-Type: text/plain; charset=utf-8', Buffer.from('Grüße 日本', 'utf8'), 'Grüße 日本'],
    ['in iso-8859-1', 'Content-Type: text/plain; charset=iso-8859-1', Buffer.from('Grüße', 'latin1'), 'Grüße'],
    ['in a quoted charset of capitals', 'Content-Type: TEXT/PLAIN; charset="ISO-8859-1"', Buffer.from('Grüße', 'latin1'), 'Grüße'],
    ['in windows-1252', 'Content-Type: text/plain; charset=windows-1252', Buffer.from([0x80, 0x93, 0x94]), '€“”'],
    ['in koi8-r', 'Content-Type: text/plain; charset=koi8-r', Buffer.from([0xf0, 0xd2, 0xc9, 0xd7, 0xc5, 0xd4]), 'Привет'],
    ['in utf-16le', 'Content-Type: text/plain; charset=utf-16le', utf16('Grüße', false), 'Grüße'],
    ['in utf-16be', 'Content-Type: text/plain; charset=utf-16be', utf16('Grüße', true), 'Grüße'],
    ['in iso-2022-jp', 'Content-Type: text/plain; charset=iso-2022-jp', Buffer.from('\x1b$BF|K\\\x1b(B', 'latin1'), '日本'],
    ['of broken utf-8', 'Content-Type: text/plain; charset=utf-8', Buffer.from([0x61, 0xff, 0xc3, 0x62, 0xe2, 0x82]), 'a\ufffd\ufffdb\ufffd'],
    ['in a charset that nobody knows', 'Content-Type: text/plain; charset=x-none', Buffer.from('Grüße', 'latin1'), 'Grüße'],
    ['in base64', 'Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64', `${Buffer.from('Grüße').toString('base64')}\r\n`, 'Grüße'],
    ['in base64 of iso-8859-1 over many lines', 'Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: BASE64', 'R3L8\r\n3w==\r\n', 'Grüß'],
    ['in base64 of utf-16le', 'Content-Type: text/plain; charset=utf-16le\r\nContent-Transfer-Encoding: base64', utf16('Grüße', false).toString('base64'), 'Grüße'],
    ['in quoted-printable', 'Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable', 'Gr=C3=BC=\r\n=C3=9fe=20', 'Grüße '],
    ['in quoted-printable of iso-8859-1', 'Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: Quoted-Printable', 'Gr=FC=DFe =\t\r\n=3D =zz =', 'Grüße = =zz ='],
    ['with what would act on a terminal', 'Content-Type: text/plain', 'a\x1b[2Jb\x07\x00c', 'a\\x1b[2Jb\\x07\\0c'],
    ['with what would turn the direction of text', 'Content-Type: text/plain; charset=utf-8', Buffer.from('a\u202eb', 'utf8'), 'a\\u{202e}b'],
  ])('%s is shown as it was meant', async (_what, head, body, text) => {
    expect(await textOf(head, body)).toEqual(['plain', text])
  })

  it('is the plain part where there are both, and text out of the HTML where there is only that', async () => {
    const plain = 'Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe'
    const html = `Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n${Buffer.from('<p>Grüße</p><script>x</script>').toString('base64')}`
    const head = 'Content-Type: multipart/alternative; boundary=b'
    expect(await textOf(head, `--b\r\n${html}\r\n--b\r\n${plain}\r\n--b--\r\n`)).toEqual(['plain', 'Grüße'])
    expect(await textOf(head, `--b\r\n${html}\r\n--b--\r\n`)).toEqual(['html', 'Grüße'])
    const attached = `Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nfile`
    expect(await textOf(head, `--b\r\n${attached}\r\n--b--\r\n`)).toEqual(['none', null])
  })
})

describe('HTML as text', () => {
  it.each([
    ['<p>one</p><p>two<br>three</p>', 'one\n\ntwo\nthree'],
    ['a<script>alert(1)</script>b', 'ab'],
    ['a<SCRIPT type="x>y">alert("</p>")</SCRIPT >b', 'ab'],
    ['a<style>p{}</style>b<title>t</title>c', 'abc'],
    ['a<script>never closed', 'a'],
    ['a<!-- <b>no</b> -->b<!-- never closed', 'ab'],
    ['<img src=x onerror="alert(1)">b', 'b'],
    ['<a href="javascript:x">link</a>', 'link'],
    ['<a title="1>2">link</a>', 'link'],
    ['1 < 2 && 3 > 2 <3', '1 < 2 && 3 > 2 <3'],
    ['&lt;b&gt; &amp;amp; &#228;&#xe4;&nbsp;&unknown; &#0;&#x110000;', '<b> &amp; ää &unknown; \ufffd\ufffd'],
    ['&lt;script&gt;alert(1)&lt;/script&gt;', '<script>alert(1)</script>'],
    ['<scr<b>ipt>x</script>', 'ipt>x'],
    ['<ſcript>x</ſcript>', '<ſcript>x'],
    ['a<b', 'a'],
    ['a<', 'a<'],
    ['', ''],
  ])('%j reads %j', (html, text) => {
    expect(htmlText(html)).toBe(text)
  })
})
