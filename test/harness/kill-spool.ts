/**
 * Kills a spooling process again and again under load, and counts what became of every message it acknowledged.
 *
 * Usage  node dist/test/harness/kill-spool.js [ROUNDS]: prints the result as one JSON line; exit code 1 when mail was
 *        lost. The same with few rounds is test/spool-kill.test.ts.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startSink } from '../../services/demo/sink.ts'

export type KillResult = {
  rounds: number
  acknowledgedCount: number
  /** Acknowledged and never seen by the sink: must be none. */
  lost: string[]
  /** Acknowledged, and the event log does not say that they are finished: must be none. */
  untold: string[]
  /** Deliveries more than one per message: replies of the sink that the dead process did not come to write down. */
  repeatedCount: number
  /** Seen by the sink though nobody was told that they were accepted: the process died between event and reply. */
  unacknowledgedCount: number
}

/** `childPath` is the built spool-child.js. */
export async function killSpool(childPath: string, rounds: number, longestMs: number): Promise<KillResult> {
  const folder = await mkdtemp(join(tmpdir(), 'tollgate-kill-'))
  const deliveries = new Map<string, number>()
  const sink = await startSink({
    port: 0,
    keepCount: 1,
    onMessage: ({ recipients }) => {
      const name = recipients[0]!.split('@')[0]!
      deliveries.set(name, (deliveries.get(name) ?? 0) + 1)
    },
  })
  const acknowledged = new Map<string, string>()
  let nextNumber = 0
  try {
    for (let round = 0; round < rounds; round += 1) {
      const child = await startChild(childPath, folder, sink.port)
      let isUnderLoad = (): void => {}
      const firstAcknowledged = new Promise<void>((resolve) => (isUnderLoad = resolve))
      child.on('message', (answer: { accepted?: string; queueId?: string }) => {
        if (answer.accepted === undefined) return
        acknowledged.set(answer.accepted, answer.queueId!)
        isUnderLoad()
        offer(child)
      })
      for (let session = 0; session < 20; session += 1) offer(child)
      // Half of the deaths fall into recovery or the very first messages, half into full load.
      if (round % 2 === 0) await firstAcknowledged
      await new Promise((resolve) => setTimeout(resolve, Math.random() * longestMs))
      const gone = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGKILL')
      await gone
    }
    await untilDelivered(await startChild(childPath, folder, sink.port))
    const finished = await finishedIn(join(folder, 'events'))
    return {
      rounds,
      acknowledgedCount: acknowledged.size,
      lost: [...acknowledged.keys()].filter((name) => !deliveries.has(name)),
      untold: [...acknowledged].filter(([, queueId]) => !finished.has(queueId)).map(([name]) => name),
      repeatedCount: [...deliveries.values()].reduce((sum, count) => sum + count - 1, 0),
      unacknowledgedCount: [...deliveries.keys()].filter((name) => !acknowledged.has(name)).length,
    }
  } finally {
    await sink.stop()
    await rm(folder, { recursive: true, force: true })
  }

  function offer(child: ChildProcess): void {
    const number = (nextNumber += 1)
    // One in twenty is too large for the shared segment.
    if (child.connected) child.send({ accept: `m${number}`, sizeBytes: number % 20 === 0 ? 1_500_000 : 2_000 }, () => {})
  }
}

async function startChild(childPath: string, folder: string, port: number): Promise<ChildProcess> {
  const child = fork(childPath, [folder, String(port)], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  await new Promise<void>((resolve, reject) => {
    child.once('message', () => resolve())
    child.once('exit', (code) => reject(new Error(`the spool child ended with ${code} before it was ready`)))
  })
  return child
}

async function untilDelivered(child: ChildProcess): Promise<void> {
  const gone = new Promise((resolve) => child.once('exit', resolve))
  await new Promise<void>((resolve) => {
    const ask = setInterval(() => child.send({ count: true }, () => {}), 50)
    child.on('message', (answer: { queuedCount?: number }) => {
      if (answer.queuedCount !== 0) return
      clearInterval(ask)
      resolve()
    })
  })
  child.disconnect()
  await gone
}

async function finishedIn(folder: string): Promise<Set<string>> {
  const finished = new Set<string>()
  for (const name of await readdir(folder)) {
    for (const line of (await readFile(join(folder, name), 'utf8')).split('\n')) {
      if (!line.includes('"kind":"message.finished"') || !line.endsWith('}')) continue
      finished.add((JSON.parse(line) as { queueId: string }).queueId)
    }
  }
  return finished
}

if (import.meta.filename === process.argv[1]) {
  const rounds = Number(process.argv[2] ?? 100)
  const result = await killSpool(join(import.meta.dirname, 'spool-child.js'), rounds, 300)
  process.stdout.write(`${JSON.stringify(result)}\n`)
  process.exitCode = result.lost.length + result.untold.length === 0 ? 0 : 1
}
