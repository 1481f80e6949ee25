import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { killSpool } from './harness/kill-spool.ts'

const childPath = join(import.meta.dirname, '../dist/test/harness/spool-child.js')

it('everything acknowledged is delivered at least once and told as finished, however often the process is killed', async () => {
  expect(existsSync(childPath), `${childPath} is missing: npm run build:services`).toBe(true)
  const result = await killSpool(childPath, 10, 200)
  expect(result.acknowledgedCount).toBeGreaterThan(10)
  expect(result.lost).toEqual([])
  expect(result.untold).toEqual([])
  // Each of ten connections may have been waiting for one final reply, and one more for that of a message behind it.
  expect(result.repeatedCount).toBeLessThanOrEqual(10 * 20)
}, 120_000)
