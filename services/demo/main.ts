/**
 * The moving parts of `tollgate up --demo` beside the product itself: an inner mail server, a past, and live mail.
 *
 * Leaves  everything that the product does to the product: mail goes in over SMTP, history goes in as an event log.
 * Fails   without a port for the inner server it does not start; a gateway that is away is waited for.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DirectoryFile } from '../contracts/directory.ts'
import type { Config } from '../kit/config.ts'
import { faultText } from '../kit/fault.ts'
import { runningInstance } from '../kit/instance-file.ts'
import type { Logger } from '../kit/operator-log.ts'
import { packageRoot } from '../kit/package-root.ts'
import { readYaml } from '../kit/read-yaml.ts'
import { parseSocketAddress, type SocketAddress } from '../kit/socket-address.ts'
import { demoAsset } from './demo-config.ts'
import { runLiveStream } from './live-stream.ts'
import { MailPlanner } from './mail-planner.ts'
import { SeededRandom } from './seeded-random.ts'
import { startSink } from './sink.ts'
import { writeHistory } from './write-history.ts'

export type DemoOptions = { config: Config; log: Logger; sinkPort: number }
export type RunningDemo = { details: { sinkPort: number }; stop(): Promise<void> }

const seed = 'tollgate'
const historySessions = 23_000
const sessionsPerSecond = { opening: 1.5, settled: 0.08, openingMs: 45_000 }

export async function startDemo({ config, log, sinkPort }: DemoOptions): Promise<RunningDemo> {
  const sink = await startSink({ port: sinkPort, log })
  const stopping = new AbortController()
  const mail = sendMail(config, log, stopping.signal)
  mail.catch((error: unknown) => {
    // Out of the promise, so that it ends the process like any other mistake of ours.
    setImmediate(() => {
      throw error
    })
  })
  return {
    details: { sinkPort: sink.port },
    stop: async () => {
      stopping.abort()
      await mail
      await sink.stop()
    },
  }
}

async function sendMail(config: Config, log: Logger, signal: AbortSignal): Promise<void> {
  const directory = demoDirectory()
  const startedMs = performance.now()
  let told = 0
  const written = await writeHistory({
    config,
    log,
    directory,
    version: demoVersion(),
    seed,
    sessionCount: historySessions,
    uptoMs: Date.now(),
    signal,
    onProgress: (share) => {
      if (share < told + 0.25) return
      told = share
      log.info(`a month of history: ${Math.floor(share * 100)} % written`)
    },
  })
  if (written > 0) log.info(`a month of history is written: ${written} sessions in ${Math.round((performance.now() - startedMs) / 100) / 10} s`)
  // Another seed at every start: the stream is not to begin with the same messages again.
  const planner = new MailPlanner(new SeededRandom(`${seed} live ${Date.now()}`), directory)
  await runLiveStream({ planner, gateway: () => gatewayAddress(config), sessionsPerSecond, log, signal })
}

/** Where the gateway listens now: the instance file tells, also after a restart on another port. */
function gatewayAddress(config: Config): SocketAddress | null {
  const text = runningInstance(config.data)?.smtpAddresses[0]
  return text === undefined ? null : parseSocketAddress(text)
}

export function demoDirectory(): DirectoryFile {
  const path = demoAsset('clients.yaml')
  const { value, faults } = readYaml(DirectoryFile, readFileSync(path, 'utf8'), path)
  if (faults.length > 0) throw new Error(faults.map(faultText).join('\n'))
  return value
}

function demoVersion(): string {
  return (JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as { version: string }).version
}
