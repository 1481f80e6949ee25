import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { runTollgate, type Finished } from '../../test/harness/tollgate-command.ts'
import { verifyPassword } from '../kit/password.ts'

vi.setConfig({ testTimeout: 60_000 })

let folder = ''
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'tollgate-hash-'))))
afterEach(() => rmSync(folder, { recursive: true }))

const hashPassword = (words: string[], input: string): Promise<Finished> =>
  runTollgate(['gateway', 'hash-password', ...words], { folder, environment: {}, input })

it('prints a hash that the gateway takes for that password, and for no other', async () => {
  const { code, stdout, stderr } = await hashPassword(['--password-stdin'], 'geheim-genug\n')
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(await verifyPassword(stdout.trimEnd(), 'geheim-genug')).toBe(true)
  expect(await verifyPassword(stdout.trimEnd(), 'geheim-genuG')).toBe(false)
})

it('refuses a short password, and to ask where nobody sits', async () => {
  expect(await hashPassword(['--password-stdin'], 'kurz\n')).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(/at least 10 characters/) })
  expect(await hashPassword([], 'geheim-genug\n')).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(/--password-stdin/) })
})
