/**
 * How fast a log is taken in, against rsyslog writing the same lines with its own module into one plain table without
 * an index: what somebody has who sends logs to Postgres today.
 *
 * Limits  a part of the log that rsyslog loads in some tens of seconds; its rate does not depend on the amount.
 * Why     ours makes of a line rows in seven tables and 26 indexes, rsyslog one text; it is still the peer, since both
 *         end in "the log is in Postgres". A rsyslogd of our own, with its own configuration, folder and pid file.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { startEmbeddedPostgres } from '../../services/database/embedded-postgres.ts'
import { migrate } from '../../services/database/migrate.ts'
import { figureOf, MissingPeer, type Bench, type BenchContext, type Pair, type Scale } from './bench.ts'
import { endChild, outputOfRole } from './child-process.ts'
import type { IngestedFile } from './ingest-role.ts'
import { findProgram } from './peer-program.ts'
import { createSampleLog, writeSegment } from './sample-log.ts'

const transactionCounts: Record<Scale, number> = { small: 1_000, default: 20_000, large: 20_000 }
const runCount = 3
const moduleFolders = ['/usr/lib/x86_64-linux-gnu/rsyslog', '/usr/lib/aarch64-linux-gnu/rsyslog', '/usr/lib64/rsyslog', '/usr/lib/rsyslog']

export const bench: Bench = {
  name: 'ingest.ompgsql',
  goal: 10,
  run: async (context) => {
    const rsyslogd = findProgram('rsyslogd', 'rsyslog')
    if (!moduleFolders.some((folder) => existsSync(path.join(folder, 'ompgsql.so')))) {
      throw new MissingPeer('ompgsql is missing: install the package rsyslog-pgsql')
    }
    const server = await startEmbeddedPostgres({ folder: path.join(context.folder, 'postgres'), databaseName: 'bench_template' })
    const admin = new pg.Client({ connectionString: server.urlOf('postgres') })
    try {
      await migrate(server.url)
      await admin.connect()
      const file = path.join(context.folder, 'log.jsonl')
      const { lineCount } = await writeSegment(createSampleLog(), file, transactionCounts[context.scale])
      const pairs: Pair[] = []
      for (let run = 1; run <= runCount; run += 1) {
        await admin.query(`create database ours_${run} template bench_template strategy file_copy`)
        const ours = JSON.parse(await outputOfRole('ingest-role.js', ['file', server.urlOf(`ours_${run}`), file])) as IngestedFile
        await admin.query(`create database theirs_${run}`)
        const seconds = await loadByRsyslog(context, rsyslogd, server.urlOf(`theirs_${run}`), { file, lineCount })
        pairs.push({ ours: lineCount / ours.seconds, theirs: lineCount / seconds })
        context.progress(`run ${run}: ours ${ours.seconds.toFixed(1)} s, rsyslog ${seconds.toFixed(1)} s for ${lineCount} lines`)
      }
      return [figureOf(bench, 'lines/s', 'rsyslog ompgsql', pairs, true)]
    } finally {
      await admin.end()
      await server.stop()
    }
  },
}

/** Seconds from its start until every line is a row. */
async function loadByRsyslog(
  { folder }: BenchContext,
  rsyslogd: string,
  url: string,
  { file, lineCount }: { file: string; lineCount: number },
): Promise<number> {
  const { pathname, port, username, password } = new URL(url)
  const own = path.join(folder, `rsyslog${pathname.replace('/', '-')}`)
  await mkdir(own)
  await writeFile(
    path.join(own, 'rsyslog.conf'),
    `global(workDirectory="${own}" maxMessageSize="1m")
module(load="imfile")
module(load="ompgsql")
template(name="row" type="list" option.stdsql="on") {
  constant(value="insert into plain_line (line) values ('") property(name="msg") constant(value="')")
}
ruleset(name="load") {
  action(type="ompgsql" server="127.0.0.1" port="${port}" db="${pathname.slice(1)}" user="${username}" pass="${password}" template="row")
}
input(type="imfile" file="${file}" tag="log" ruleset="load")
`,
    { mode: 0o600 },
  )
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query('create table plain_line (line text not null)')
  const startMs = performance.now()
  const child = spawn(rsyslogd, ['-n', '-f', path.join(own, 'rsyslog.conf'), '-i', path.join(own, 'pid')], { stdio: 'ignore' })
  try {
    for (;;) {
      const { rows } = await client.query<{ count: bigint | string }>('select count(*) as count from plain_line')
      if (Number(rows[0]!.count) >= lineCount) return (performance.now() - startMs) / 1_000
      if (child.exitCode !== null) throw new Error(`rsyslogd ended with ${child.exitCode} after ${rows[0]!.count} of ${lineCount} lines`)
      await sleep(50)
    }
  } finally {
    await endChild(child)
    await client.end()
  }
}
