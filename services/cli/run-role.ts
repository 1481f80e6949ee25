/**
 * One role in this process: `tollgate gateway | ingest | api | worker`, by hand or as a child of `tollgate up`.
 *
 * Owns    reading its settings, the end of the process, the exit code.
 * Leaves  what the role does to the service of the same name, which is loaded only here: a gateway needs no
 *         database driver, and nothing else's memory.
 * Fails   with one sentence; under a supervisor that one prints it.
 */
import type { Config } from '../kit/config.ts'
import { openOperatorLog, type Logger } from '../kit/operator-log.ts'
import type { RunningService } from '../kit/running-service.ts'
import { onShutdown } from '../kit/shutdown.ts'
import { supervisedRole, type SupervisedRole } from '../kit/supervised-role.ts'
import type { ReadyDetails } from '../kit/supervisor.ts'
import { startRole, type RoleName } from './start-role.ts'
import { worldSentence } from './world-sentence.ts'

/** What `tollgate up` gives to each of its children. */
export type RoleSettings = {
  config: Config
  isDemo: boolean
  /** Where the demo's inner mail server is to listen; 0: any free port. */
  sinkPort: number
}

export type StartedRole = RunningService & { details: ReadyDetails }

/** `settings` gives those of a role started by hand. Resolves only with the process: it ends by process.exit. */
export async function runRole(role: RoleName, settings: () => RoleSettings): Promise<void> {
  const log = openOperatorLog(role)
  const supervised = supervisedRole()
  let config: Config | null = null
  try {
    const given = supervised === null ? settings() : ((await supervised.settings) as RoleSettings)
    config = given.config
    endOnBug(log)
    const started = await startUnlessStopped(role, given, log, supervised)
    if (started === null) return
    supervised?.ready(started.details)
    log.debug(started.details, 'ready')
  } catch (error) {
    const sentence = worldSentence(error, config)
    if (sentence === null || supervised === null) throw error
    log.debug({ err: error }, 'start failed')
    await supervised.failed(sentence)
    process.exit(1)
  }
}

/** A signal during the start waits for its end: half a service cannot be stopped in order. */
async function startUnlessStopped(
  role: RoleName,
  settings: RoleSettings,
  log: Logger,
  supervised: SupervisedRole | null,
): Promise<StartedRole | null> {
  const starting = startRole(role, settings, log)
  const shutdown = onShutdown({ log, stop: async () => (await starting).stop() })
  supervised?.onAbandoned(() => {
    if (!shutdown.signal.aborted) shutdown.begin('the supervisor is gone')
  })
  const started = await starting
  return shutdown.signal.aborted ? null : started
}

/** Our own bug stops the process; what is durable stays so, and the supervisor starts it anew. */
function endOnBug(log: Logger): void {
  const end = (error: unknown): void => {
    log.fatal({ err: error }, 'this is a mistake in Tollgate, and the process ends')
    process.exit(1)
  }
  process.on('uncaughtException', end)
  process.on('unhandledRejection', end)
}
