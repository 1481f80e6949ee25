/**
 * How long after it was written a message can be found, while two thousand are written a second.
 *
 * Owns    the delay of every line: from the append that brought it to the first look that finds its number among the
 *         ingested ones, which are committed together with its rows.
 *         The clock starts when the first line is in: an ingest that has been running, not one that starts.
 * Limits  writer, ingest and Postgres share this machine. Where it does not keep up, the rate is halved until it does,
 *         and the rate it kept is told as `ingest.follow.rate`.
 */
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { startEmbeddedPostgres } from '../../services/database/embedded-postgres.ts'
import { migrate } from '../../services/database/migrate.ts'
import { rounded, type Bench, type BenchContext, type Figure, type Scale } from './bench.ts'
import { endChild, startRole } from './child-process.ts'
import { percentile } from './trace-times.ts'

const goalMs = 1_000
const wantedRate: Record<Scale, number> = { small: 200, default: 2_000, large: 2_000 }
const seconds: Record<Scale, number> = { small: 5, default: 20, large: 60 }
const lookEachMs = 10
/** So long after the last append it is given up. */
const patienceMs = 60_000

type Delays = { p50: number; p95: number; max: number }

export const bench: Bench = {
  name: 'ingest.follow',
  goal: 1,
  run: async (context) => {
    const server = await startEmbeddedPostgres({ folder: path.join(context.folder, 'postgres'), databaseName: 'bench_template' })
    const admin = new pg.Client({ connectionString: server.urlOf('postgres') })
    try {
      await migrate(server.url)
      await admin.connect()
      let rate = wantedRate[context.scale]
      let atWanted: Delays | null = null
      for (let round = 1; ; round += 1, rate /= 2) {
        await admin.query(`create database round_${round} template bench_template strategy file_copy`)
        const delays = await follow(context, server.urlOf(`round_${round}`), path.join(context.folder, `data-${round}`), rate)
        context.progress(`${rate} messages/s: p50 ${delays.p50.toFixed(0)} ms, p95 ${delays.p95.toFixed(0)} ms, max ${delays.max.toFixed(0)} ms`)
        atWanted ??= delays
        if (delays.p95 <= goalMs || rate < 50) return figures(context.scale, atWanted, delays.p95 <= goalMs ? rate : 0)
      }
    } finally {
      await admin.end()
      await server.stop()
    }
  },
}

function figures(scale: Scale, { p50, p95, max }: Delays, sustainedRate: number): Omit<Figure, 'command'>[] {
  const rate = wantedRate[scale]
  const figure = (name: string, unit: string, ours: number, peer: string, theirs: number, ratio: number, goal: number | null): Omit<Figure, 'command'> => ({
    name, unit, ours: rounded(ours), peer, theirs, ratio: rounded(ratio), goal, met: goal === null ? null : ratio >= goal, runs: 1, spread: 0,
  })
  const limit = `the limit, at ${rate} messages/s`
  return [
    figure('ingest.follow', 'ms (p95)', p95, limit, goalMs, goalMs / p95, bench.goal),
    figure('ingest.follow.median', 'ms', p50, limit, goalMs, goalMs / p50, null),
    figure('ingest.follow.longest', 'ms', max, limit, goalMs, goalMs / max, null),
    figure('ingest.follow.rate', 'messages/s with p95 within 1 s', sustainedRate, 'wanted', rate, sustainedRate / rate, bench.goal),
  ]
}

async function follow({ scale }: BenchContext, url: string, dataFolder: string, rate: number): Promise<Delays> {
  await mkdir(path.join(dataFolder, 'events'), { recursive: true })
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const ingest = startRole('ingest-role.js', ['follow', url, dataFolder])
  await once(ingest.stdout!, 'data')
  const writer = startRole('follow-writer.js', [dataFolder, String(rate), String(seconds[scale])])
  try {
    const waiting: { seq: number; atMs: number }[] = []
    let isWritten = false
    let lastWriteMs = Date.now()
    const told = createInterface({ input: writer.stdout! })
    told.on('line', (line) => {
      const [seq, atMs] = line.split(' ').map(Number) as [number, number]
      waiting.push({ seq, atMs })
      lastWriteMs = atMs
    })
    told.on('close', () => (isWritten = true))

    const delays: number[] = []
    let seenSeq = 0
    while (!isWritten || waiting.length > 0) {
      if (isWritten && Date.now() - lastWriteMs > patienceMs) throw new Error(`${waiting.length} writes were not ingested ${patienceMs / 1_000} s after the last one`)
      const { rows } = await client.query<{ seq: string | null }>('select max(upper(seqs) - 1) as seq from log_boot')
      const foundMs = Date.now()
      const ingestedSeq = Number(rows[0]?.seq ?? 0)
      while (waiting.length > 0 && waiting[0]!.seq <= ingestedSeq) {
        const { seq, atMs } = waiting.shift()!
        // Every line of the write counts.
        if (seenSeq > 0) for (let line = seenSeq; line < seq; line += 1) delays.push(foundMs - atMs)
        else writer.stdin!.write('go\n')
        seenSeq = seq
      }
      await sleep(lookEachMs)
    }
    if (delays.length === 0) throw new Error('the writer wrote nothing')
    return { p50: percentile(delays, 50), p95: percentile(delays, 95), max: percentile(delays, 100) }
  } finally {
    await endChild(writer)
    await endChild(ingest)
    await client.end()
  }
}
