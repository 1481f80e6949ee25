import { chmod, mkdtemp, readdir, readFile, rename, rm, unlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { pluginHarness, type PluginHarness } from '../../../../test/plugin-harness.ts'
import { endHold, setHold } from './archive-holds.ts'
import { archivedEnvelopes, archivedFiles, checkArchive } from './read-archive.ts'
import { removeExpired } from './remove-expired.ts'
import { writeOnce } from './write-once.ts'

const dayMs = 86_400_000
const message = 'Subject: contract\r\nMessage-ID: <1@x>\r\n\r\n..text'
const rules = `
markAt: null
rejectAt: null
rules: [{id: contracts, stage: complete, when: {attribute: subject, matches: contract}, then: {markSubject: '[C]'}}]
`
let data: string
let root: string
let harness: PluginHarness
beforeEach(async () => {
  data = await mkdtemp(path.join(tmpdir(), 'tollgate-archive-'))
  root = path.join(data, 'archive', 'archive')
})
afterEach(async () => {
  await harness.plugins.close()
  await rm(data, { recursive: true })
})

async function open(settings = ''): Promise<void> {
  harness = await pluginHarness(`{archive: [{onFailure: closed${settings}}]}`, { rules, data })
}

async function entries() {
  const found = []
  for await (const entry of archivedEnvelopes(root)) found.push(entry)
  return found
}

async function fileOf(extension: 'eml' | 'json'): Promise<string> {
  for await (const found of archivedFiles(root)) if (found.extension === extension) return found.file
  throw new Error(`no ${extension}`)
}

const later = (days: number): number => Date.now() + days * dayMs

describe('an archive', () => {
  it('has message and envelope on disk before the message is accepted, and the log holds the digest of both', async () => {
    await open()
    expect(await harness.connect().deliver(message, ['a@example.com', 'b@example.com'])).toMatch(/^250 /)
    const [entry] = await entries()
    const event = harness.log.transactions[0]!
    expect(entry).toMatchObject({
      id: event.transactionId,
      sha256: event.digest,
      recipients: ['a@example.com', 'b@example.com'],
      sender: 's@remote.example',
      subject: 'contract',
      subjectTag: '[C]',
      prependedHeaders: expect.stringMatching(/^Received: /),
    })
    expect(await readFile(await fileOf('eml'), 'latin1')).toBe('Subject: contract\r\nMessage-ID: <1@x>\r\n\r\n.text\r\n')
    const sidecar = path.basename(await fileOf('json')).split('.').at(-2)
    expect(event.plugins).toMatchObject([{ name: 'prepare-archive', result: 'archived', detail: expect.stringMatching(`envelope sha256 ${sidecar}$`) }])
    expect(await readdir(path.join(root, 'unfinished'))).toEqual([])
    expect(await checkArchive(root)).toEqual({ messageCount: 1, faults: [] })
  })

  it('that cannot be written to keeps the message from being accepted', async () => {
    await open()
    await rm(root, { recursive: true })
    await writeFile(root, 'a file in its place')
    expect(await harness.connect().deliver(message)).toMatch(/^451 4\.7\.1 /)
    expect(harness.spool.released).toEqual([])
    expect(harness.log.transactions[0]).toMatchObject({ outcome: 'deferred', reason: 'plugin-unavailable' })
  })

  it('never writes over what stands there', async () => {
    await open()
    const write = (text: string) => writeOnce(root, '2026-11-25', async (file) => (await file.writeFile(text), 'name'))
    await write('first')
    await expect(write('second')).rejects.toMatchObject({ code: 'EEXIST' })
    expect(await readFile(path.join(root, '2026-11-25', 'name'), 'utf8')).toBe('first')
    expect(await readdir(path.join(root, 'unfinished'))).toEqual([])
  })

  it('leaves no half file under a name where writing fails', async () => {
    await open()
    const failing = writeOnce(root, '2026-11-25', async (file) => {
      await file.writeFile('half')
      throw new Error('disk full')
    })
    await expect(failing).rejects.toThrow('disk full')
    expect(await readdir(path.join(root, '2026-11-25'))).toEqual([])
  })

  it.each<[string, () => Promise<void>, RegExp]>([
    ['a message that was changed', async () => tamper(await fileOf('eml'), (text) => text.replace('contract', 'Contract')), /^its content was changed$/],
    ['an envelope that was changed', async () => tamper(await fileOf('json'), (text) => text.replace('a@example.com', 'z@example.com')), /^its content was changed$/],
    ['a message that is missing', async () => unlink(await fileOf('eml')), /^its message is missing$/],
    ['an envelope that is missing', async () => unlink(await fileOf('json')), /^its envelope is missing/],
    ['a name with another end of its time', async () => {
      for (const kind of ['eml', 'json'] as const) {
        const file = await fileOf(kind)
        await rename(file, file.replace(/until-\d{8}/, 'until-20200101'))
      }
    }, /^names and envelope do not agree$/],
  ])('is found to have %s', async (_what, harm, expected) => {
    await open()
    await harness.connect().deliver(message)
    await harm()
    expect((await checkArchive(root)).faults).toMatchObject([{ message: expect.stringMatching(expected) }])
    expect(await removeExpired(root, Date.now())).toBe(0)
  })
})

async function tamper(file: string, change: (text: string) => string): Promise<void> {
  const text = await readFile(file, 'latin1')
  await chmod(file, 0o600)
  await writeFile(file, change(text), 'latin1')
}

describe('the time of a message', () => {
  it.each([
    ['keepDays', ', keepDays: 10', 'keepDays', 10],
    ['a domain', ', keepDays: 10, keep: [{domain: Example.com, days: 20}, {domain: other.example, days: 99}]', 'domain Example.com', 20],
    ['a rule', ', keepDays: 10, keep: [{domain: example.com, days: 20}, {rule: contracts, days: 30}, {rule: other, days: 99}]', 'rule contracts', 30],
    ['for ever', ', keep: [{domain: remote.example, days: 0}, {rule: contracts, days: 30}]', 'domain remote.example', null],
  ])('is set by %s, the longest that fits', async (_what, settings, keptBy, days) => {
    await open(settings)
    await harness.connect().deliver(message)
    const [entry] = await entries()
    expect(entry).toMatchObject({ keptBy })
    expect(await removeExpired(root, later(days ?? 36_000))).toBe(0)
    expect(await removeExpired(root, later((days ?? -2) + 1))).toBe(days === null ? 0 : 1)
    expect(await entries()).toHaveLength(days === null ? 1 : 0)
  })

  it('does not end while the message, or everything, is held', async () => {
    await open(', keepDays: 1')
    await harness.connect().deliver(message)
    await harness.connect().deliver(message, ['b@example.com'])
    const [first] = await entries()
    expect(await setHold(root, first!.id, 'case 7')).toBe(true)
    expect(await setHold(root, first!.id, 'again')).toBe(false)
    await setHold(root, null, 'everything')
    expect(await removeExpired(root, later(5))).toBe(0)
    expect(await endHold(root, null)).toBe(true)
    expect(await removeExpired(root, later(5))).toBe(1)
    expect((await entries()).map(({ id }) => id)).toEqual([first!.id])
    expect(await endHold(root, first!.id)).toBe(true)
    expect(await endHold(root, first!.id)).toBe(false)
    expect(await removeExpired(root, later(5))).toBe(1)
    const actions = (await readFile(path.join(root, 'actions.jsonl'), 'utf8')).trim().split('\n').map((line) => (JSON.parse(line) as { action: string }).action)
    expect(actions).toEqual(['hold', 'hold', 'unhold', 'expired', 'unhold', 'expired'])
  })
})
