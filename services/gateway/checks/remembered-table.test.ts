import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { RememberedTable } from './remembered-table.ts'

let folder: string
let file: string
let nowMs = 1_000
const warnings: string[] = []
const open = (maxEntries = 100) =>
  RememberedTable.open({
    file,
    maxEntries,
    isLive: ([untilMs = 0], now) => untilMs > now,
    nowMs: () => nowMs,
    warn: (text) => warnings.push(text),
  })

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'tollgate-table-'))
  file = path.join(folder, 'table.txt')
  nowMs = 1_000
  warnings.length = 0
})
afterEach(() => rmSync(folder, { recursive: true }))

it('holds over a restart what was set last, and not what is over', async () => {
  const table = await open()
  table.set('a', [2_000, 1])
  table.set('b', [1_500])
  table.set('a', [3_000, 2])
  await table.close()
  nowMs = 1_500
  const next = await open()
  expect([next.get('a'), next.get('b'), next.size]).toEqual([[3_000, 2], undefined, 1])
  await next.close()
  expect(readFileSync(file, 'latin1')).toBe('a 3000 2\n')
})

it('drops a line that a death cut off wherever it did, and loses nothing else', async () => {
  const table = await open()
  table.set('a', [2_000, 1])
  table.set('b', [2_345, 67])
  await table.close()
  const whole = readFileSync(file, 'latin1')
  for (let length = 0; length < whole.length; length += 1) {
    writeFileSync(file, whole.slice(0, length))
    const next = await open()
    expect([next.get('a'), next.get('b')]).toEqual([length >= 9 ? [2_000, 1] : undefined, undefined])
    next.set('c', [9_999])
    await next.close()
    const last = await open()
    expect([last.get('c'), last.get('a')]).toEqual([[9_999], length >= 9 ? [2_000, 1] : undefined])
    await last.close()
  }
})

it('leaves out lines of nonsense', async () => {
  writeFileSync(file, 'a 2000\nzzz\n\0\0\0\0\nb x\n 5\nc 2000 1 2 3 4\nd 2000 1\n')
  const table = await open()
  expect([table.size, table.get('a'), table.get('d')]).toEqual([2, [2_000], [2_000, 1]])
  await table.close()
})

it('keeps no more entries than it may, the longest unused go first, and its file stays within bounds', async () => {
  const table = await open(3)
  for (const key of ['a', 'b', 'c']) table.set(key, [2_000])
  table.get('a')
  table.set('d', [2_000])
  expect([table.size, table.get('b'), table.get('a')]).toEqual([3, undefined, [2_000]])
  for (let round = 0; round < 5; round += 1) {
    for (let index = 0; index < 4_000; index += 1) table.set(`k${index}`, [2_000 + round])
    await table.flush()
  }
  await table.flush()
  expect(readFileSync(file, 'latin1').split('\n').length).toBeLessThan(10_000 + 4_000 + 10)
  await table.close()
  const next = await open(3)
  expect(next.get('k3999')).toEqual([2_004])
  await next.close()
})

it('goes on in memory while the disk fails, says so once, and writes all of it when the disk is back', async () => {
  const table = await open()
  rmSync(folder, { recursive: true })
  for (let index = 0; index < 3; index += 1) {
    // Long enough that the file is to be written anew.
    for (let line = 0; line < 20_000; line += 1) table.set('a', [2_000 + index])
    await table.flush()
    await table.flush()
  }
  expect(warnings).toHaveLength(1)
  expect(table.get('a')).toEqual([2_002])
  mkdirSync(folder)
  table.set('b', [5_000])
  await table.close()
  const next = await open()
  expect([next.get('a'), next.get('b')]).toEqual([[2_002], [5_000]])
  await next.close()
})
