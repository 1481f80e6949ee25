/**
 * The golden segments: what every released version of the gateway wrote stays readable (DESIGN §3). They are
 * written anew, before their version is released, by
 *   TOLLGATE_WRITE_GOLDEN=1 npx vitest run test/golden.test.ts
 */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Compile } from 'typebox/compile'
import { describe, expect, it } from 'vitest'
import { eventSchemas, type EventKind, type TollgateEvent } from '../services/contracts/event.ts'
import { outcomes, reasons, recipientOutcomes, stages } from '../services/contracts/vocabulary.ts'
import { packageRoot } from '../services/kit/package-root.ts'
import { writeGolden } from './golden/golden-scenario.ts'

const golden = path.join(packageRoot, 'test', 'golden', 'v1')
const validators = Object.fromEntries(Object.entries(eventSchemas).map(([kind, schema]) => [kind, Compile(schema)]))

async function linesOf(folder: string): Promise<TollgateEvent[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.jsonl')).sort()
  const texts = await Promise.all(names.map((name) => readFile(path.join(folder, name), 'utf8')))
  return texts.flatMap((text) =>
    text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as TollgateEvent),
  )
}

function faultsOf(event: TollgateEvent): string[] {
  const validator = validators[event.kind]!
  return validator.Check(event)
    ? []
    : [...validator.Errors(event)].map(({ instancePath, message }) => `${event.kind}${instancePath}: ${message}`)
}

function withNothingUnknown(event: TollgateEvent): string[] {
  return Object.keys(event)
    .filter((key) => !(key in eventSchemas[event.kind].properties))
    .map((key) => `${event.kind}.${key}`)
}

/** Which of the words do not occur. */
function missing(words: readonly string[], found: Iterable<unknown>): string[] {
  const seen = new Set(found)
  return words.filter((word) => !seen.has(word))
}

async function expectWhole(events: readonly TollgateEvent[]): Promise<void> {
  expect(events.flatMap(faultsOf)).toEqual([])
  expect(events.flatMap(withNothingUnknown)).toEqual([])
  const transactions = events.filter((event) => event.kind === 'transaction.ended')
  const recipients = transactions.flatMap((event) => event.recipients)
  expect(
    missing(
      Object.keys(eventSchemas),
      events.map(({ kind }) => kind satisfies EventKind),
    ),
  ).toEqual([])
  expect(
    missing(
      outcomes,
      transactions.map(({ outcome }) => outcome),
    ),
  ).toEqual([])
  expect(
    missing(
      stages,
      transactions.flatMap(({ stage, evaluations }) => [stage, ...evaluations.map((one) => one.stage)]),
    ),
  ).toEqual([])
  expect(
    missing(
      recipientOutcomes,
      recipients.map(({ outcome }) => outcome),
    ),
  ).toEqual(['discarded', 'quarantined'])
  expect(
    missing(
      reasons,
      [...transactions, ...recipients].map(({ reason }) => reason),
    ),
  ).not.toContain('duplicate')
}

describe('the golden segments', () => {
  it.runIf(process.env['TOLLGATE_WRITE_GOLDEN'] === '1')('are written anew', async () => {
    const workFolder = await mkdtemp(path.join(tmpdir(), 'tollgate-golden-'))
    await writeGolden(golden, workFolder)
    await rm(workFolder, { recursive: true })
  })

  it('hold every kind of event, every outcome and every stage, each line as the schema says', async () => {
    await expectWhole(await linesOf(golden))
  })

  it('are what the gateway writes today', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'tollgate-golden-'))
    const workFolder = await mkdtemp(path.join(tmpdir(), 'tollgate-golden-'))
    try {
      await writeGolden(folder, workFolder)
      const today = await linesOf(folder)
      await expectWhole(today)
      expect(today.map(story)).toEqual((await linesOf(golden)).map(story))
    } finally {
      await rm(folder, { recursive: true })
      await rm(workFolder, { recursive: true })
    }
  })
})

/**
 * A line without what is different in every run, or changes with every turn of the code: ids, times, durations, and
 * the octets of what a session was told, which grow with every extension that EHLO offers.
 */
function story(line: TollgateEvent): unknown {
  const event = line.kind === 'session.closed' ? { ...line, sentBytes: 0 } : line
  const ids = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g
  const times = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g
  const durations = /("\w*(?:Us|ageMs)"):\d+/g
  return JSON.parse(JSON.stringify(event).replace(ids, 'id').replace(times, 'time').replace(durations, '$1:0'))
}
