/** Logs of other MTAs for the tests: the golden files, their events without a database, and their rows. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { meterBatch, unmeteredBatches } from '../services/billing/meter-batch.ts'
import type { TollgateEvent } from '../services/contracts/event.ts'
import type { Database } from '../services/database/open-database.ts'
import { adapterOf } from '../services/ingest/mta/adapter-of.ts'
import { Assembler, type CarriedThread } from '../services/ingest/mta/assembler.ts'
import { ingestMtaFiles, type IngestMtaFilesOptions } from '../services/ingest/mta/ingest-mta-files.ts'
import { createLogClock } from '../services/ingest/mta/log-clock.ts'
import { createMtaEvents, type MtaSettings } from '../services/ingest/mta/mta-event.ts'
import type { MtaSource } from '../services/ingest/mta/mta-line.ts'
import type { MtaSummary } from '../services/ingest/mta/mta-loader.ts'
import { packageRoot } from '../services/kit/package-root.ts'
import { storedEntries, type StoredEntry } from './billing-entries.ts'

export const goldenFolder = path.join(packageRoot, 'test', 'golden', 'mta')
export const goldenLines = (name: string): string[] => readFileSync(path.join(goldenFolder, name), 'utf8').trimEnd().split('\n')

export function mtaSettings(source: MtaSource): MtaSettings {
  return { tenantId: 'main', source, domains: ['corp.test'], lowerCaseLocalPart: true, networks: [{ name: 'loop', class: 'trusted', cidrs: ['127.0.0.2/32'] }] }
}

export type EventRun = { events: TollgateEvent[]; unknown: { raw: string; reason: string }[]; carried: CarriedThread[] }

/** The events of files that are read one after the other, unfinished threads carried from each to the next. */
export function eventsOf(source: MtaSource, files: readonly (readonly string[])[], options: { isFinal?: boolean; year?: number } = {}): EventRun {
  const events = new Map<string, TollgateEvent>()
  const unknown: EventRun['unknown'] = []
  const carried = new Map<string, CarriedThread>()
  for (const [index, lines] of files.entries()) {
    const clock = createLogClock({ timeZone: 'UTC', year: options.year ?? 2026 })
    clock.beginFile(Date.UTC(2026, 10, 30))
    const emit = (event: TollgateEvent): void => {
      const identity = 'transactionId' in event ? `${event.kind} ${event.transactionId} ${event.kind === 'transaction.ended' ? '' : event.seq}` : ''
      if (!events.has(identity)) events.set(identity, event)
    }
    // As stored: the lines of a thread travel as JSON.
    const stored = JSON.parse(JSON.stringify([...carried.values()])) as CarriedThread[]
    const assembler = new Assembler(adapterOf(source, createMtaEvents(mtaSettings(source)), source), clock, emit, stored)
    for (const raw of lines) {
      const read = assembler.push(raw)
      if (read.is === 'unknown') unknown.push({ raw, reason: read.reason })
    }
    assembler.endFile(options.isFinal === true && index === files.length - 1)
    const changes = assembler.takeChanges()
    for (const { key, hasBeginning } of changes.removed) carried.delete(`${hasBeginning} ${key}`)
    for (const thread of changes.stored) carried.set(`${thread.hasBeginning} ${thread.key}`, thread)
  }
  return { events: [...events.values()], unknown, carried: [...carried.values()] }
}

/** In an order of their own, to compare runs. */
export function sortedEvents(events: readonly TollgateEvent[]): TollgateEvent[] {
  return [...events].sort((a, b) => (JSON.stringify([a.at, a.seq]) < JSON.stringify([b.at, b.seq]) ? -1 : 1))
}

export function ingestMta(database: Database, source: MtaSource, files: readonly string[], more: Partial<IngestMtaFilesOptions> = {}): Promise<MtaSummary> {
  return ingestMtaFiles({ database, settings: mtaSettings(source), files, host: source, isFinal: false, clock: { timeZone: 'UTC', year: 2026 }, ...more })
}

/** Meters what is not metered, and tells every entry there is. */
export async function meterAll(database: Database): Promise<StoredEntry[]> {
  for (const batchId of await unmeteredBatches(database, 'main', 0n, 1_000)) await meterBatch(database, 'main', batchId)
  return await storedEntries(database, 'main')
}
