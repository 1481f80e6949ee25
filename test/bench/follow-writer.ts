/**
 * A gateway's log as it grows: `node follow-writer.js FOLDER RATE SECONDS` appends so many transactions a second to
 * FOLDER/events, a new segment every ten seconds, and prints `SEQ TIME_MS` for the last line of each write. After the
 * first write it waits for a line on its stdin.
 *
 * Why  the lines are made before the clock starts, and written in one append every ten milliseconds: a gateway commits
 *      in groups too.
 */
import { once } from 'node:events'
import { appendFileSync, mkdirSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { LogBuilder } from '../event-builder.ts'

const tickMs = 10
const segmentMs = 10_000
const [folder, rateText, secondsText] = process.argv.slice(2) as [string, string, string]
const durationMs = Number(secondsText) * 1_000
const builder = new LogBuilder({ startMs: Date.now() - 3_600_000, stepMs: 1_000 / Number(rateText) })

type Write = { fileName: string; lines: string; seq: number }
const writes: Write[] = []
let header: string[] = []
for (let atMs = 0, made = 0; atMs < durationMs; atMs += tickMs) {
  if (atMs % segmentMs === 0) header = builder.segmentStart()
  const lines = [...header]
  header = []
  for (const due = ((atMs + tickMs) * Number(rateText)) / 1_000; made < due; made += 1) lines.push(...builder.transaction())
  if (lines.length > 0) writes.push({ fileName: builder.fileName, lines: lines.join(''), seq: builder.seq })
}

const events = path.join(folder, 'events')
mkdirSync(events, { recursive: true })
let startMs = 0
for (const [index, { fileName, lines, seq }] of writes.entries()) {
  const waitMs = index === 0 ? 0 : startMs + (index * durationMs) / writes.length - Date.now()
  if (waitMs > 0) await sleep(waitMs)
  appendFileSync(path.join(events, fileName), lines)
  process.stdout.write(`${seq} ${Date.now()}\n`)
  if (index > 0) continue
  await once(process.stdin, 'data')
  process.stdin.destroy()
  startMs = Date.now()
}
