/** docs/api.md and docs/trace.md against what the code knows. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { apiErrorCodes } from '../services/contracts/api.ts'
import { traceHas, traceKeyNames } from '../services/contracts/trace-keys.ts'
import { parseTraceQuery } from '../services/contracts/trace-query.ts'
import { outcomes, stages } from '../services/contracts/vocabulary.ts'
import { packageRoot } from '../services/kit/package-root.ts'

const page = (name: string) => readFileSync(path.join(packageRoot, 'docs', name), 'utf8')

describe('the documentation', () => {
  it('lists every error code with its status, and no other', () => {
    const listed = [...page('api.md').matchAll(/^\| `([a-z-]+)` \| (\d{3}) \|/gm)].map((match) => [
      match[1],
      Number(match[2]),
    ])
    expect(Object.fromEntries(listed)).toEqual(apiErrorCodes)
  })

  it('explains every key and word of the trace language', () => {
    const text = page('trace.md')
    const table = text.slice(text.indexOf('## Keys'))
    for (const key of traceKeyNames) expect(table, key).toContain(`\`${key}:\``)
    for (const word of [...outcomes, ...stages, ...Object.keys(traceHas)])
      expect(table, word).toContain(`\`${word}\``)
  })

  it('shows only queries that are understood', () => {
    const block = /```\n([\s\S]*?)```/.exec(page('trace.md'))![1]!
    const queries = block
      .trim()
      .split('\n')
      .map((line) => line.split(/ {2,}/)[0]!)
    expect(queries.length).toBeGreaterThanOrEqual(5)
    for (const query of queries) expect(parseTraceQuery(query), query).toHaveProperty('query')
  })
})
