import { mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { currentSnapshotHash, readSnapshotText, writeSnapshotText } from './snapshot-folder.ts'

let folder: string

beforeEach(async () => {
  folder = path.join(await mkdtemp(path.join(tmpdir(), 'tollgate-snapshot-')), 'published')
})
afterEach(async () => {
  await rm(path.dirname(folder), { recursive: true })
})

it('holds what was written last, by its hash', async () => {
  expect(await readSnapshotText(folder)).toBeNull()
  const first = await writeSnapshotText(folder, '{"a":1}')
  const second = await writeSnapshotText(folder, '{"a":2}')
  expect(await readSnapshotText(folder)).toEqual({ hash: second, text: '{"a":2}' })
  expect(await writeSnapshotText(folder, '{"a":1}')).toBe(first)
  expect(await currentSnapshotHash(folder)).toBe(first)
})

it('gives out no text that was cut off or changed, and is mended by writing it again', async () => {
  const hash = await writeSnapshotText(folder, '{"a":1}')
  await truncate(path.join(folder, `${hash}.json`), 3)
  await expect(readSnapshotText(folder)).rejects.toThrow('is not what was published')
  await writeSnapshotText(folder, '{"a":1}')
  expect(await readSnapshotText(folder)).toEqual({ hash, text: '{"a":1}' })
})

it('has no snapshot where current is empty or names none', async () => {
  await writeSnapshotText(folder, '{}')
  for (const text of ['', 'abc\n', '../../etc/passwd\n']) {
    await writeFile(path.join(folder, 'current'), text)
    expect(await readSnapshotText(folder)).toBeNull()
  }
})

it('keeps twenty texts, the present one among them, and nothing that was half written', async () => {
  const oldest = await writeSnapshotText(folder, '{"n":0}')
  for (let n = 1; n < 30; n += 1) await writeSnapshotText(folder, `{"n":${n}}`)
  await writeSnapshotText(folder, '{"n":0}')
  const names = await readdir(folder)
  expect(names.filter((name) => name.endsWith('.json')).length).toBe(20)
  expect(names.filter((name) => name.endsWith('.part'))).toEqual([])
  expect((await readSnapshotText(folder))?.hash).toBe(oldest)
})
