import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Harness, type Client } from '../../../test/gateway-harness.ts'
import { hashPassword } from '../../kit/password.ts'
import { maySendAs, SubmissionUsers } from './submission-users.ts'
import { readUsersFile, type SubmissionUser } from './users-file.ts'

const tls = { version: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384' }
const base64 = (text: string): string => Buffer.from(text).toString('base64')
const plain = (user: string, password: string, actsFor = ''): string => base64(`${actsFor}\0${user}\0${password}`)

let passwordHash: string
let folder: string
let harness: Harness
const ann = (senders: readonly string[] | null = null): SubmissionUser => ({ name: 'ann', passwordHash, senders })

beforeAll(async () => {
  passwordHash = await hashPassword('secret-word')
  folder = await mkdtemp(path.join(tmpdir(), 'tollgate-users-'))
})
afterAll(() => rm(folder, { recursive: true }))
beforeEach(() => {
  harness = new Harness()
  harness.deps.users.adopt([ann()])
})

async function greeted(kind = { isSubmission: true, tls } as { isSubmission: boolean; tls: typeof tls | null }, ip?: string): Promise<Client> {
  const client = harness.connect(ip, kind)
  client.read()
  await client.line('EHLO laptop.example')
  return client
}

describe('logging in', () => {
  it('lets a listed user send to anybody, and tells its name in the event', async () => {
    for (const lines of [
      [`AUTH PLAIN ${plain('ann', 'secret-word')}`],
      [`auth plain ${plain('ANN', 'secret-word', 'ANN')}`],
      ['AUTH PLAIN', plain('ann', 'secret-word')],
      ['AUTH LOGIN', base64('ann'), base64('secret-word')],
      [`AUTH LOGIN ${base64('ann')}`, base64('secret-word')],
    ]) {
      const client = await greeted()
      let answer = ''
      for (const line of lines) answer = await client.line(line)
      expect(answer).toBe('235 2.7.0 Logged in\r\n')
      expect(await client.line('MAIL FROM:<anybody@else.example> AUTH=<>')).toMatch(/^250 /)
      expect(await client.line('RCPT TO:<x@elsewhere.example>')).toMatch(/^250 /)
      await client.line('DATA')
      expect(await client.send('Subject: out\r\n\r\n.\r\n')).toMatch(/^250 /)
      expect(harness.spool.messages.at(-1)!.envelope!.prependedHeaders).toContain(' with ESMTPSA id ')
      expect(harness.log.transactions.at(-1)).toMatchObject({ authUser: 'ann', outcome: 'accepted' })
    }
  })

  it('is neither offered nor possible before TLS, and no mail is taken then', async () => {
    const client = harness.connect(undefined, { isSubmission: true, tls: null })
    client.read()
    expect(await client.line('EHLO laptop.example')).not.toContain('AUTH')
    expect(await client.line(`AUTH PLAIN ${plain('ann', 'secret-word')}`)).toMatch(/^538 5\.7\.11 /)
    expect(await client.line('MAIL FROM:<ann@example.com>')).toMatch(/^530 5\.7\.0 /)
  })

  it('is not possible where servers bring mail, also inside TLS', async () => {
    const client = await greeted({ isSubmission: false, tls })
    expect(await client.line(`AUTH PLAIN ${plain('ann', 'secret-word')}`)).toMatch(/^502 /)
    expect(client.said).not.toContain('AUTH PLAIN')
  })

  it('comes before MAIL on a submission listener, from whatever network', async () => {
    harness = new Harness({ config: 'networks: [{name: office, class: trusted, cidrs: [10.0.0.0/8]}]' })
    const client = await greeted(undefined, '10.1.1.1')
    expect(await client.line('MAIL FROM:<ann@example.com>')).toBe('530 5.7.0 Log in first\r\n')
  })

  it('fails for a wrong password, an unknown name, another name to act for, and what nobody can read', async () => {
    const client = await greeted()
    expect(await client.line(`AUTH PLAIN ${plain('ann', 'secret-worD')}`)).toMatch(/^535 5\.7\.8 /)
    expect(await client.line(`AUTH PLAIN ${plain('bob', 'secret-word')}`)).toMatch(/^535 5\.7\.8 /)
    expect(await client.line(`AUTH PLAIN ${plain('ann', 'secret-word', 'bob')}`)).toMatch(/^535 5\.7\.8 /)
    for (const junk of ['!', 'AAA', base64('ann'), '='.repeat(4)]) expect(await client.line(`AUTH PLAIN ${junk}`)).toMatch(/^501 5\.5\.2 /)
    expect(await client.line('AUTH PLAIN')).toBe('334 \r\n')
    expect(await client.line('*')).toMatch(/^501 5\.7\.0 /)
    expect(await client.line('AUTH CRAM-MD5')).toMatch(/^504 /)
    expect(await client.line('AUTH')).toMatch(/^501 5\.5\.4 /)
    expect(await client.line('MAIL FROM:<ann@example.com>')).toMatch(/^530 /)
  })

  it('happens once a session, and not within a transaction', async () => {
    const client = await greeted()
    await client.line(`AUTH PLAIN ${plain('ann', 'secret-word')}`)
    expect(await client.line('EHLO laptop.example')).not.toContain('AUTH')
    expect(await client.line(`AUTH PLAIN ${plain('ann', 'secret-word')}`)).toMatch(/^503 /)
    await client.line('MAIL FROM:<ann@example.com>')
    expect(await client.line('AUTH LOGIN')).toMatch(/^503 /)
  })

  it('takes the line behind a challenge as its answer, whatever it looks like', async () => {
    const client = await greeted()
    expect(await client.send('AUTH LOGIN\r\nQUIT\r\n')).toBe('334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n')
    expect(client.isClosed).toBe(false)
  })

  it('shows a password in no event', async () => {
    const client = await greeted()
    await client.line(`AUTH PLAIN ${plain('ann', 'wrong-secret')}`)
    await client.line('AUTH LOGIN')
    await client.line(base64('ann'))
    await client.line(base64('wrong-secret'))
    await client.hangUp()
    const told = JSON.stringify(harness.log.events)
    expect(told).toContain('login-wrong')
    for (const secret of ['wrong-secret', base64('wrong-secret'), plain('ann', 'wrong-secret')]) expect(told).not.toContain(secret)
  })
})

describe('senders of a user', () => {
  it('are those of its list, and the empty one', async () => {
    harness.deps.users.adopt([ann(['ann@example.com', '*@lists.example'])])
    const client = await greeted()
    await client.line(`AUTH PLAIN ${plain('ann', 'secret-word')}`)
    expect(await client.line('MAIL FROM:<bob@example.com>')).toBe('553 5.7.1 You may not send as this address\r\n')
    expect(harness.log.transactions.at(-1)).toMatchObject({ outcome: 'refused', stage: 'mail', reason: 'sender-denied', authUser: 'ann' })
    expect(await client.line('MAIL FROM:<Ann@Example.com>')).toMatch(/^250 /)
    for (const [sender, expected] of [['x@lists.example', true], ['', true], ['x@sub.lists.example', false], ['ann@example.com.evil', false]] as const) {
      expect(maySendAs(ann(['ann@example.com', '*@lists.example']), sender)).toBe(expected)
    }
  })
})

describe('guesses', () => {
  it('of one network end after ten, guesses at once included, and others go on', async () => {
    const users = new SubmissionUsers(null, { nowMs: () => harness.nowMs })
    users.adopt([ann()])
    const guess = (ip: string, password = 'no'): Promise<unknown> => users.logIn(ip, { user: 'ann', password })
    const answers = await Promise.all(Array.from({ length: 12 }, (_, index) => guess(`192.0.2.${index}`)))
    expect(answers.filter((answer) => answer === 'wrong')).toHaveLength(10)
    expect(await guess('192.0.2.200', 'secret-word')).toBe('too-many-failures')
    expect(await guess('192.0.3.1', 'secret-word')).toMatchObject({ user: { name: 'ann' } })
    harness.nowMs += 16 * 60_000
    expect(await guess('192.0.2.200', 'secret-word')).toMatchObject({ user: { name: 'ann' } })
  })

  it('that were right count as none', async () => {
    const users = new SubmissionUsers(null, { nowMs: () => harness.nowMs })
    users.adopt([ann()])
    for (let count = 0; count < 11; count += 1) {
      expect(await users.logIn('192.0.2.1', { user: 'ann', password: 'secret-word' })).toMatchObject({ user: { name: 'ann' } })
    }
  })
})

describe('the file of users', () => {
  it('tells every fault with its line and shows no hash', async () => {
    const file = path.join(folder, 'bad.yaml')
    await writeFile(file, `users:\n  - {name: ann, password: hunter2hunter2}\n  - {name: ANN, password: "${passwordHash}"}\n  - {name: b c, password: "${passwordHash}"}\n`)
    const told = await readUsersFile(file).then(() => '', (error: Error) => error.message)
    expect(told).toContain(`${file}:2: users[0].password: is no hash of a password`)
    expect(told).toContain(`${file}:3: users[1].name: another user is called "ANN" too`)
    expect(told).toContain('users[2].name')
    expect(told).not.toContain('hunter2')
    expect(told).not.toContain(passwordHash)
  })

  it('is taken again when it changes, and kept where the new one has faults', async () => {
    const file = path.join(folder, 'users.yaml')
    await writeFile(file, `users: [{name: ann, password: "${passwordHash}"}]`)
    const lost: string[] = []
    const users = new SubmissionUsers(file, { nowMs: () => 0, onLost: (sentence) => lost.push(sentence) })
    await users.open()
    const tries = (user: string): Promise<unknown> => users.logIn('192.0.2.1', { user, password: 'secret-word' })
    expect(await tries('ann')).toMatchObject({ user: { name: 'ann' } })
    await writeFile(file, `users: [{name: robert, password: "${passwordHash}", senders: [Rob@example.com]}]`)
    await users.refresh()
    expect(await tries('ann')).toBe('wrong')
    expect(await tries('robert')).toMatchObject({ user: { senders: ['rob@example.com'] } })
    await writeFile(file, 'users: none')
    await users.refresh()
    expect(await tries('robert')).toMatchObject({ user: { name: 'robert' } })
    expect(lost).toHaveLength(1)
  })
})
