import { mkdtemp, rm, unlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { configOf } from '../../test/gateway-harness.ts'
import { pluginHarness, type PluginHarness } from '../../test/plugin-harness.ts'
import { archivedFiles } from '../gateway/plugins/archive/read-archive.ts'
import { holdArchived, listArchive, unholdArchived, verifyArchive } from './work-on-archive.ts'

let data: string
let harness: PluginHarness
let id: string
const config = () => ({ ...configOf('plugins: {archive: [{onFailure: closed}]}'), data })

beforeEach(async () => {
  data = await mkdtemp(path.join(tmpdir(), 'tollgate-archive-'))
  harness = await pluginHarness('{archive: [{onFailure: closed}]}', { data })
  await harness.connect().deliver('Subject: hello \u001b[31m\r\n\r\ntext')
  id = harness.log.transactions[0]!.transactionId
})
afterEach(async () => {
  await harness.plugins.close()
  await rm(data, { recursive: true })
})

async function printed(work: () => Promise<void>): Promise<string> {
  let text = ''
  const spy = vi.spyOn(process.stdout, 'write').mockImplementation((part) => ((text += String(part)), true))
  await work().finally(() => spy.mockRestore())
  return text
}

it('lists every message, and which is held', async () => {
  await printed(() => holdArchived(config(), undefined, id, 'case 7'))
  const table = await printed(() => listArchive(config(), undefined, 'table'))
  expect(table).toMatch(new RegExp(`^${id} .* held +s@remote\\.example +a@example\\.com .* hello`, 'm'))
  expect(table).not.toContain('\u001b')
  expect(JSON.parse(await printed(() => listArchive(config(), 'archive', 'json')))).toMatchObject({ id, isHeld: true, recipients: ['a@example.com'] })
  await printed(() => unholdArchived(config(), undefined, id))
  await expect(unholdArchived(config(), undefined, id)).rejects.toThrow(`There is no hold on ${id}.`)
})

it('fails where something is not as it was put there, and names the file', async () => {
  expect(await printed(() => verifyArchive(config(), undefined))).toBe('1 message, all as they were put there\n')
  let lost = ''
  for await (const { extension, file } of archivedFiles(path.join(data, 'archive', 'archive'))) if (extension === 'eml') lost = file
  await unlink(lost)
  let output = ''
  output = await printed(async () => expect(verifyArchive(config(), undefined)).rejects.toThrow('1 message and 1 faults'))
  expect(output).toContain('.json: its message is missing')
})

it('says what is wrong with an id or a name', async () => {
  await expect(holdArchived(config(), undefined, '../x', 'y')).rejects.toThrow('"../x" is no id of a message')
  await expect(holdArchived(config(), undefined, '01a20d6d-5a00-72da-9b00-9795f97be1f6', 'y')).rejects.toThrow('The archive has no message')
  await expect(verifyArchive(config(), 'other')).rejects.toThrow('There is no archive "other". Name one of archive with --archive.')
  await expect(verifyArchive({ ...configOf(''), data }, undefined)).rejects.toThrow('The configuration has no archive')
})
