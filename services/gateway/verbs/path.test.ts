import { expect, it } from 'vitest'
import { isDomain, isLocalPart, isMailbox, parsePathArgument } from './path.ts'

const address = (argument: string) => parsePathArgument(argument, 512)?.address ?? null

it('takes a path with and without brackets, and drops its source route', () => {
  expect(address('<a@b.example>')).toBe('a@b.example')
  expect(address('  <a@b.example> ')).toBe('a@b.example')
  expect(address('a@b.example SIZE=1')).toBe('a@b.example')
  expect(address('<>')).toBe('')
  expect(address('<@x.example,@y.example:a@b.example>')).toBe('a@b.example')
  expect(address('<"a>b"@b.example>')).toBe('"a>b"@b.example')
  for (const broken of ['', '<a@b.example', '<@x.example>', '<@-:a@b.example>', '<a@b.example>SIZE=1'])
    expect(address(broken)).toBeNull()
})

it('reads parameters by their upper-case names, each once', () => {
  const read = (text: string) => parsePathArgument(`<a@b.example>${text}`, 512)?.parameters
  expect([...read(' size=5  BODY=8bitmime SMTPUTF8')!]).toEqual([
    ['SIZE', '5'],
    ['BODY', '8bitmime'],
    ['SMTPUTF8', null],
  ])
  for (const broken of [' =5', ' SIZE=', ' SIZE=1 size=2', ' SI ZE=a=b', ' X=\u0001'])
    expect(read(broken)).toBeUndefined()
})

it('tells well-formed addresses from others', () => {
  for (const good of [
    'a@b',
    'a.b+c@d.example',
    'a..b@d.example',
    '"a b"@d.example',
    'ü@bücher.example',
    "o'hara@d.example",
    'a@[192.0.2.1]',
    'a@[IPv6:2001:db8::1]',
    'a@a_b.example',
  ]) {
    expect(`${good} ${isMailbox(good)}`).toBe(`${good} true`)
  }
  for (const bad of [
    '',
    '@b',
    'a@',
    'a b@c',
    'a@b c',
    'a@b@c',
    'a@.b',
    'a@b.',
    'a@-b',
    'a@b-',
    'a@b..c',
    'a@[192.0.2]',
    'a<b@c',
    'a\u0000@b',
    '"a@b',
  ]) {
    expect(`${bad} ${isMailbox(bad)}`).toBe(`${bad} false`)
  }
  expect(isDomain('x'.repeat(256))).toBe(false)
  expect(isLocalPart('')).toBe(false)
})
