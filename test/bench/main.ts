/**
 * `npm run bench [NAME…] [--scale small|default|large]`: one JSON object a line on stdout, and nothing else there.
 *
 * Why    a name also selects what begins with it and a dot: `ingest` runs every bench of ingest.
 * Fails  an unknown name or scale is told with the known ones, exit code 2; a missing peer or a failed bench, 1.
 */
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { scales, type Bench, type BenchContext, type Closable, type Scale } from './bench.ts'
import { queryKinds } from './trace-times.ts'

type Shared = Map<string, { folder: string; made: Promise<Closable> }>

/** Each file of a bench exports it as `bench`; it is loaded only when it is asked for. */
const benches: Record<string, () => Promise<{ bench: Bench }>> = {
  'gateway.deliver': () => import('./gateway-deliver.ts'),
  'gateway.deliver.limit': async () => ({ bench: (await import('./gateway-deliver.ts')).limitBench }),
  'gateway.deliver.haraka': async () => ({ bench: (await import('./gateway-node-peers.ts')).harakaBench }),
  'gateway.deliver.smtp-server': async () => ({ bench: (await import('./gateway-node-peers.ts')).forwardBench }),
  'gateway.refuse': () => import('./gateway-refuse.ts'),
  'gateway.cpu': () => import('./gateway-cpu.ts'),
  'ingest.copy': () => import('./ingest-copy.ts'),
  'ingest.ompgsql': () => import('./ingest-ompgsql.ts'),
  'ingest.follow': () => import('./ingest-follow.ts'),
  ...Object.fromEntries(
    queryKinds.map((kind) => [`trace.${kind}`, async () => ({ bench: (await import('./trace-speed.ts')).traceBench(kind) })]),
  ),
  'trace.growth': () => import('./trace-growth.ts'),
  'report.month': () => import('./report-month.ts'),
  'report.growth': () => import('./report-growth.ts'),
  'export.csv': () => import('./export-csv.ts'),
  'memory.export': () => import('./memory-export.ts'),
  'memory.ingest': () => import('./memory-ingest.ts'),
  'disk.transaction': () => import('./disk-transaction.ts'),
  'rules.evaluate': () => import('./rules-evaluate.ts'),
  'backtest.replay': () => import('./backtest-replay.ts'),
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { scale: { type: 'string', default: 'default' } } })
  const scale = scales.find((known) => known === values.scale)
  if (scale === undefined) return usage(`"${values.scale}" is no scale: ${scales.join(', ')}`)
  const names = positionals.length === 0 ? Object.keys(benches) : positionals.flatMap(namesLike)
  const unknown = positionals.find((asked) => namesLike(asked).length === 0)
  if (unknown !== undefined) return usage(`"${unknown}" is no bench: ${Object.keys(benches).join(', ')}`)
  let failed = 0
  const shared: Shared = new Map()
  try {
    for (const name of new Set(names)) failed += await runOne(name, scale, shared)
  } finally {
    for (const { folder, made } of shared.values()) {
      await made.then((resource) => resource.close(), () => {})
      await rm(folder, { recursive: true, force: true })
    }
  }
  return failed === 0 ? 0 : 1
}

function namesLike(asked: string): string[] {
  return Object.keys(benches).filter((name) => name === asked || name.startsWith(`${asked}.`))
}

async function runOne(name: string, scale: Scale, shared: Shared): Promise<0 | 1> {
  const folder = await newFolder()
  const progress = (text: string): void => void process.stderr.write(`${name}: ${text}\n`)
  try {
    const { bench } = await benches[name]!()
    const command = `npm run bench ${name}${scale === 'default' ? '' : ` -- --scale ${scale}`}`
    const figures = await bench.run({ scale, folder, progress, shared: sharedIn(shared, scale, progress) })
    for (const figure of figures) process.stdout.write(`${JSON.stringify({ ...figure, command })}\n`)
    return 0
  } catch (error) {
    progress(`failed: ${(error as Error).message}`)
    if ((error as Error).cause !== undefined) progress(String((error as Error).cause))
    return 1
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function sharedIn(shared: Shared, scale: Scale, progress: BenchContext['progress']): BenchContext['shared'] {
  return async (key, make) => {
    if (!shared.has(key)) {
      const folder = await newFolder()
      shared.set(key, { folder, made: make({ scale, folder, progress }) })
    }
    return (await shared.get(key)!.made) as never
  }
}

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'tollgate-bench-'))
  // A Postgres of its own in it runs as another user than root.
  await chmod(folder, 0o711)
  return folder
}

function usage(text: string): number {
  process.stderr.write(`${text}\n`)
  return 2
}

process.exitCode = await main()
