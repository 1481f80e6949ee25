/**
 * The demo's past: a month and what there is of this one, written by the gateway's own session code into the event
 * log of a node of its own, which ingest then reads like any other.
 *
 * Owns    the segments of node `demo-history`, and `history.json` beside them, which says what was begun and done.
 * Why     written again from the same seed, an interrupted history comes out line for line the same, so whatever
 *         ingest has read of it already counts once.
 * Limits  syncs only when a segment is closed: what a crash takes is written again.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { DirectoryFile } from '../contracts/directory.ts'
import { openChecks } from '../gateway/checks/open-checks.ts'
import { fixedLimits } from '../gateway/limits.ts'
import { openEventLog, type EventLogWriter } from '../gateway/log/event-log-writer.ts'
import { listSegments } from '../gateway/log/segment-files.ts'
import { noPlugins } from '../gateway/plugins/plugin-contract.ts'
import { PolicySource } from '../gateway/policy/policy-source.ts'
import { DuplicateIndex } from '../gateway/session/duplicate-index.ts'
import { createIds } from '../gateway/session/ids.ts'
import { SubmissionUsers } from '../gateway/submission/submission-users.ts'
import type { SessionDeps } from '../gateway/session/session.ts'
import type { Config } from '../kit/config.ts'
import type { Logger } from '../kit/operator-log.ts'
import { arrivalTimes, historyStart } from './arrival-times.ts'
import { bufferedDisk } from './buffered-disk.ts'
import { demoAsset } from './demo-config.ts'
import { deliveriesOf, forgetfulSpool, type DueEvent } from './history-delivery.ts'
import { playHistory } from './history-session.ts'
import { MailPlanner } from './mail-planner.ts'
import { inventedCountryOf, ScriptedNames } from './scripted-names.ts'
import { SeededRandom } from './seeded-random.ts'
import { SimulatedTime } from './simulated-time.ts'

export const historyNode = 'demo-history'

export type HistoryOptions = {
  config: Config
  directory: DirectoryFile
  log: Logger
  version: string
  seed: string
  sessionCount: number
  /** Where it ends: the live stream begins after it. */
  uptoMs: number
  onProgress?: (share: number) => void
  signal?: AbortSignal
}

type HistoryState = { seed: string; uptoMs: number; sessionCount: number; isDone: boolean }

/** Writes what is missing. Resolves with the number of sessions written: 0 where the history was there. */
export async function writeHistory(options: HistoryOptions): Promise<number> {
  const folder = join(options.config.data, 'events')
  const stateFile = join(options.config.data, 'history.json')
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const begun = existsSync(stateFile) ? (JSON.parse(readFileSync(stateFile, 'utf8')) as HistoryState) : null
  if (begun?.isDone === true) return 0
  const state = begun ?? { seed: options.seed, uptoMs: options.uptoMs, sessionCount: options.sessionCount, isDone: false }
  writeFileSync(stateFile, `${JSON.stringify(state)}\n`)
  for (const segment of await listSegments(folder, historyNode)) rmSync(segment.path)
  const written = await writeSessions(options, state, folder)
  if (options.signal?.aborted !== true) writeFileSync(stateFile, `${JSON.stringify({ ...state, isDone: true })}\n`)
  return written
}

async function writeSessions(options: HistoryOptions, state: HistoryState, folder: string): Promise<number> {
  const { config, log, version, signal } = options
  const random = new SeededRandom(state.seed)
  const zone = config.billing.timeZone
  const startMs = historyStart(state.uptoMs, zone)
  const time = new SimulatedTime(startMs, new SeededRandom(`${state.seed} time`))
  const ids = createIds((length) => random.octets(length), () => uuidOf(random))
  const eventLog = await openEventLog({
    folder,
    tenantId: config.tenant,
    node: historyNode,
    boot: uuidOf(random),
    version,
    clock: time,
    sync: 'at-close',
    segmentBytes: 16 * 1024 * 1024,
    segmentAgeMs: Infinity,
    disk: bufferedDisk(),
  })
  // Of the same directory as the gateway's and the rules that are published first, told to the log the same way; its
  // folder is not the gateway's.
  const policyFolder = join(config.data, 'history')
  const policy = new PolicySource({ config: { ...config, data: policyFolder, rules: demoAsset('rules.yaml') }, eventLog, log })
  await policy.open()
  const due = new DueEvents(eventLog, time)
  const hostname = config.smtp.hostname ?? 'mx1.corp.test'
  const names = new ScriptedNames(time, new SeededRandom(`${state.seed} names`))
  const { checks, close: closeChecks } = await openChecks({
    config: { ...config, data: policyFolder },
    hostname,
    clock: time,
    log,
    resolver: names,
    countryOf: inventedCountryOf,
  })
  const deps: SessionDeps = {
    clock: time,
    eventLog,
    limits: { ...config.smtp.limits, ...fixedLimits },
    hostname,
    duplicates: new DuplicateIndex(),
    policy: () => policy.current,
    checks,
    plugins: noPlugins,
    users: new SubmissionUsers(null, time),
    spool: forgetfulSpool((released) => due.add(deliveriesOf(released, random))),
    ids,
    onFault: (error) => {
      throw error
    },
  }
  const planner = new MailPlanner(random, options.directory)
  const arrivals = arrivalTimes(startMs, state.uptoMs, state.sessionCount, zone, random)
  let written = 0
  for (const arrival of arrivals) {
    if (signal?.aborted === true) break
    await due.writeUpto(arrival)
    time.advanceTo(arrival)
    const plan = planner.plan(time.nowMs())
    names.speakOf(plan)
    await playHistory(plan, deps, time, random)
    written += 1
    if (written % 100 === 0) {
      options.onProgress?.(written / arrivals.length)
      // Sessions without a socket never wait for the event loop: the inner mail server must have its turn.
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  await due.writeUpto(Infinity)
  await closeChecks()
  await policy.close()
  rmSync(policyFolder, { recursive: true, force: true })
  await eventLog.close('the history ends here')
  options.onProgress?.(1)
  return written
}

/** Events wait here until the clock has come to them, so that the log is in the order of time. */
class DueEvents {
  readonly #log: EventLogWriter
  readonly #time: SimulatedTime
  /** Latest first. */
  readonly #waiting: DueEvent[] = []

  constructor(log: EventLogWriter, time: SimulatedTime) {
    this.#log = log
    this.#time = time
  }

  add(events: readonly DueEvent[]): void {
    for (const event of events) {
      let at = this.#waiting.length
      while (at > 0 && this.#waiting[at - 1]!.atMs <= event.atMs) at -= 1
      this.#waiting.splice(at, 0, event)
    }
  }

  async writeUpto(timeMs: number): Promise<void> {
    while (this.#waiting.length > 0 && this.#waiting.at(-1)!.atMs <= timeMs) {
      const { atMs, body } = this.#waiting.pop()!
      this.#time.advanceTo(atMs)
      // The log looks at the clock when it writes the line.
      await this.#log.append(body)
    }
  }
}

function uuidOf(random: SeededRandom): string {
  const octets = Buffer.from(random.octets(16))
  octets[6] = (octets[6]! & 0x0f) | 0x40
  octets[8] = (octets[8]! & 0x3f) | 0x80
  const hex = octets.toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}
