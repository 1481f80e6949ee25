import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { claimDataFolder, removeInstance, runningInstance, startTicksOf, writeInstance, type Instance } from './instance-file.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tollgate-instance-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const own: Instance = {
  pid: process.pid,
  processStartTicks: startTicksOf(process.pid),
  startedAt: '2026-11-24T12:00:00.000Z',
  isDemo: false,
  tenant: 'main',
  databaseUrl: 'postgres://u:secret@127.0.0.1:5432/tollgate',
  httpUrl: null,
  smtpAddresses: [],
  roles: {},
}
const endedPid = (): number => spawnSync(process.execPath, ['-e', '']).pid

it('a command finds the instance that runs on a data folder', () => {
  expect(claimDataFolder(join(folder, 'new', 'data'), own)).toBe(null)
  expect(runningInstance(join(folder, 'new', 'data'))).toEqual(own)
})

it('keeps the database password from other users', () => {
  claimDataFolder(folder, own)
  expect(statSync(join(folder, 'instance.json')).mode & 0o777).toBe(0o600)
  writeInstance(folder, { ...own, httpUrl: 'http://127.0.0.1:1' })
  expect(statSync(join(folder, 'instance.json')).mode & 0o777).toBe(0o600)
})

it('refuses a second instance on the folder, and tells which one has it', () => {
  claimDataFolder(folder, own)
  expect(claimDataFolder(folder, { ...own, tenant: 'second' })).toEqual(own)
  expect(runningInstance(folder)?.tenant).toBe('main')
})

it('takes the folder over from a process that is dead', () => {
  writeInstance(folder, { ...own, pid: endedPid(), processStartTicks: null })
  expect(runningInstance(folder)).toBe(null)
  expect(claimDataFolder(folder, own)).toBe(null)
  expect(runningInstance(folder)).toEqual(own)
})

it('is not deceived by another process that has the same id now', () => {
  writeInstance(folder, { ...own, processStartTicks: '1' })
  expect(runningInstance(folder)).toBe(null)
})

it.each(['', '{"pid": 1', 'null', '{"pid":"x"}'])('takes a torn or foreign file (%j) for none', (text) => {
  writeFileSync(join(folder, 'instance.json'), text)
  expect(runningInstance(folder)).toBe(null)
  expect(claimDataFolder(folder, own)).toBe(null)
})

it('leaves nothing behind but the file itself, and not that in the end', () => {
  claimDataFolder(folder, own)
  claimDataFolder(folder, own)
  writeInstance(folder, own)
  expect(readdirSync(folder)).toEqual(['instance.json'])
  removeInstance(folder)
  expect(readdirSync(folder)).toEqual([])
})
