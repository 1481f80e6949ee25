import { generateKeyPairSync } from 'node:crypto'
import { createRequire } from 'node:module'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Harness } from '../../../test/gateway-harness.ts'
import { markedMessage, type Marking } from './mark-message.ts'

const { dkimSign } = createRequire(import.meta.url)('mailauth/lib/dkim/sign') as {
  dkimSign(message: string, options: object): Promise<{ signatures: string }>
}
const keys = generateKeyPairSync('rsa', { modulusLength: 2048 })
const keyRecord = `v=DKIM1; k=rsa; p=${keys.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')}`

async function signed(message: string, headerList: string): Promise<string> {
  const { signatures } = await dkimSign(message, {
    headerList,
    signatureData: [{ signingDomain: 'far.example', selector: 's1', privateKey: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }) }],
  })
  return signatures + message
}

async function verified(message: string): Promise<string[]> {
  const { default: module } = await import('mailauth/lib/dkim/dkim-verifier.js')
  const verifier = new module.DkimVerifier({ resolver: async () => [[keyRecord]], curTime: new Date() })
  await verifier.writeAsync(Buffer.from(message))
  await verifier.finish()
  return verifier.results.map(({ status }) => status.result)
}

/** As it goes out. */
function marked(message: string, marking: Partial<Marking> = {}): string {
  const { octets, addedHeaders } = markedMessage(Buffer.from(message), { tag: '[SPAM]', subject: 'unless-signed', reservedNames: [], ...marking })
  return addedHeaders + octets.toString()
}

const letter = 'From: a@far.example\r\nSubject: hello\r\nDate: Wed, 25 Nov 2026 00:00:00 +0000\r\n\r\nbody\r\n'

describe('a subject that a signature covers', () => {
  it('keeps its octets, and the signature verifies behind the mark in front of it', async () => {
    const message = await signed(letter, 'From:Subject:Date')
    expect(await verified(message)).toEqual(['pass'])
    const out = marked(message)
    expect(out).toBe(`X-Tollgate-Mark: [SPAM]\r\n${message}`)
    expect(await verified(`X-Spam-Flag: YES\r\n${out}`)).toEqual(['pass'])
  })

  it('is tagged where the setting says always, and then the signature fails', async () => {
    const out = marked(await signed(letter, 'From:Subject:Date'), { subject: 'always' })
    expect(out).toContain('\r\nSubject: [SPAM] hello\r\n')
    expect(await verified(out)).toEqual(['fail'])
  })
})

describe('a subject that no signature covers', () => {
  it('is tagged, and the signature over other fields verifies', async () => {
    const out = marked(await signed(letter, 'From:Date'))
    expect(out).toContain('\r\nSubject: [SPAM] hello\r\n')
    expect(await verified(out)).toEqual(['pass'])
  })

  it.each([
    ['h=from:SUBJECT', true],
    ['h = from : \r\n\tsubject :date', true],
    ['h=from:x-subject', false],
    ['z=h:subject; h=from', false],
  ])('counts as covered by "%s": %s', (tags, isCovered) => {
    const out = marked(`DKIM-Signature: v=1; d=far.example; ${tags}; b=x\r\n${letter}`)
    expect(out.includes('X-Tollgate-Mark')).toBe(isCovered)
    expect(out.includes('Subject: [SPAM]')).toBe(!isCovered)
  })

  it('is left alone where the setting says never, and by a mark without a tag', () => {
    expect(marked(letter, { subject: 'never' })).toBe(`X-Tollgate-Mark: [SPAM]\r\n${letter}`)
    expect(marked(letter, { tag: null })).toBe(letter)
    expect(marked(letter, { subject: 'never', tag: 'Spam ✗' })).toMatch(/^X-Tollgate-Mark: =\?UTF-8\?B\?[\w+/=]+\?=\r\nFrom/)
  })
})

describe('a subject that is added', () => {
  it('goes before all else, so that a folded line with which a message begins is no part of it', () => {
    expect(markedMessage(Buffer.from(' folded\r\nTo: x\r\n\r\nb'), { tag: '[SPAM]', subject: 'unless-signed', reservedNames: [] })).toEqual({
      octets: Buffer.from(' folded\r\nTo: x\r\n\r\nb'),
      addedHeaders: 'Subject: [SPAM]\r\n',
    })
  })

  it('is none where the header section goes on behind the octets at hand: a subject or a signature may follow', () => {
    const octets = Buffer.from('To: x\r\nCc: y\r\n')
    const marking: Marking = { tag: '[SPAM]', subject: 'always', reservedNames: [] }
    expect(markedMessage(octets, marking, octets.length + 1)).toEqual({ octets, addedHeaders: 'X-Tollgate-Mark: [SPAM]\r\n' })
    expect(markedMessage(octets, marking, octets.length).addedHeaders).toBe('Subject: [SPAM]\r\n')
    const whole = Buffer.from('To: x\r\n\r\nb')
    expect(markedMessage(whole, marking, 1_000_000).addedHeaders).toBe('Subject: [SPAM]\r\n')
  })
})

describe('a field that poses as a mark of ours', () => {
  const reservedNames = ['x-spam-flag', 'x-rule']

  it.each([
    ['X-Spam-Flag: NO', 'X-Original-X-Spam-Flag: NO'],
    ['x-spam-FLAG: NO', 'X-Original-x-spam-FLAG: NO'],
    ['X-Spam-Flag \t: NO', 'X-Original-X-Spam-Flag \t: NO'],
    ['X-Rule:\r\n folded\r\n\tmore', 'X-Original-X-Rule:\r\n folded\r\n\tmore'],
    ['X-Spam-Flags: NO', 'X-Spam-Flags: NO'],
    ['Comment: x\r\n X-Spam-Flag: NO', 'Comment: x\r\n X-Spam-Flag: NO'],
  ])('%j goes out as %j', (field, expected) => {
    for (const [before, after] of [['', ''], ['To: x\r\n', 'Cc: y\r\n']]) {
      expect(marked(`${before}${field}\r\n${after}\r\nX-Spam-Flag: body\r\n`, { tag: null, reservedNames })).toBe(`${before}${expected}\r\n${after}\r\nX-Spam-Flag: body\r\n`)
    }
  })

  it('is none in mail of who may send out through us, and what rules may add is reserved for all others', async () => {
    const harness = new Harness({
      config: 'recipients: {domains: [example.com]}\nnetworks: [{name: in, class: trusted, cidrs: [192.0.2.7]}]',
      rules: `
markAt: null
rejectAt: null
rules:
  - {id: a, stage: mail, mode: 'off', when: {attribute: sender, exists: true}, then: {addHeader: {name: X-Rule, value: hit}}, else: {addHeader: {name: X-Other, value: no}}}
`,
    })
    await harness.connect().deliver(letter)
    await harness.connect('192.0.2.7').deliver(letter)
    expect(harness.spool.released.map(({ envelope }) => envelope!.reservedNames)).toEqual([
      ['x-tollgate-mark', 'x-spam-flag', 'x-spam-score', 'x-rule', 'x-other'],
      undefined,
    ])
  })
})

it('no mark is the last field of ours: what a message begins with could go on with it', async () => {
  const harness = new Harness({
    rules: `
markAt: null
rejectAt: null
rules:
  - {id: a, stage: mail, when: {attribute: sender, exists: true}, then: {addHeader: {name: X-Rule, value: hit}}}
`,
  })
  await harness.connect().deliver(` NO folded\r\n${letter}`)
  expect(harness.spool.released[0]!.envelope!.prependedHeaders).toMatch(/^X-Rule: hit\r\nReceived: from (?:[^\r\n]*\r\n\t?)+$/)
})

it('a second gateway adds no second tag and renames nothing again; body and all other fields keep their octets', () => {
  const field = fc.oneof(
    fc.constantFrom('Subject: a', 'SUBJECT : =?utf-8?q?=C3=A9?=', 'X-Spam-Flag: NO', 'X-Rule: x', 'To: a@b\r\n c', 'Subject: \u00e9\u4e2d', 'DKIM-Signature: h=from:subject; b=x', 'no field'),
    fc.stringMatching(/^[A-Za-z-]{1,12}: [ -~]{0,30}$/),
  )
  fc.assert(
    fc.property(fc.array(field, { maxLength: 8 }), fc.string(), fc.constantFrom('always' as const, 'unless-signed' as const, 'never' as const), (fields, body, subject) => {
      const message = `${fields.map((one) => `${one}\r\n`).join('')}\r\n${body}`
      const marking: Marking = { tag: '[SPAM]', subject, reservedNames: ['x-spam-flag', 'x-rule'] }
      const once = markedMessage(Buffer.from(message), marking)
      const sent = Buffer.concat([Buffer.from(once.addedHeaders), once.octets])
      const twice = markedMessage(sent, marking)
      expect(twice.octets.equals(sent)).toBe(true)
      if (twice.addedHeaders !== '') expect(twice.addedHeaders).toBe(once.addedHeaders)
      expect(twice.addedHeaders).not.toMatch(/^subject/i)
      const text = once.octets.toString()
      expect(text.endsWith(`\r\n${body}`)).toBe(true)
      const kept = (lines: string[]) => lines.filter((line) => !/^(x-original-)?(subject|x-spam-flag|x-rule)[ \t]*:/i.test(line))
      expect(kept(text.slice(0, text.length - body.length).split('\r\n'))).toEqual(kept(message.slice(0, message.length - body.length).split('\r\n')))
    }),
    { numRuns: 500 },
  )
})
