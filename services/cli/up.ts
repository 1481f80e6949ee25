/**
 * `tollgate up`: everything on one machine, in one supervised tree.
 *
 * Owns    the order of starting and stopping, and the instance file of the data folder.
 * Leaves  restarts to the supervisor, the database to database-server.ts.
 * Why     the gateway starts first and stops first: it needs no database, so mail flows while that starts; and at
 *         the end ingest reads what it wrote last, before the database goes.
 * Fails   whatever keeps a part from starting stops all of it, with one sentence.
 */
import { fileURLToPath } from 'node:url'
import { demoRoutes } from '../demo/demo-config.ts'
import type { Config } from '../kit/config.ts'
import { claimDataFolder, removeInstance, startTicksOf, writeInstance, type Instance } from '../kit/instance-file.ts'
import type { Logger } from '../kit/operator-log.ts'
import { onShutdown } from '../kit/shutdown.ts'
import { Supervisor, type ReadyDetails } from '../kit/supervisor.ts'
import { startDatabaseServer, withKnownDatabase, type DatabaseServer } from './database-server.ts'
import { isDrained } from './drained-log.ts'
import { ensureFreeAddress } from './free-address.ts'
import { nextSteps } from './next-steps.ts'
import { WorldFailure } from './outcome.ts'
import { prepareDatabase, type FirstLogin } from './prepare-database.ts'
import type { RoleSettings } from './run-role.ts'
import type { RoleName } from './start-role.ts'

const program = fileURLToPath(new URL('./main.js', import.meta.url))

export type UpOptions = { config: Config; isDemo: boolean; log: Logger; print(text: string): void }

/** Resolves when all of it runs; the process then ends by a signal. */
export async function up(options: UpOptions): Promise<void> {
  const tree = new ProductTree(options)
  tree.claim()
  const shutdown = onShutdown({
    log: options.log,
    stop: () => tree.stop(),
    exit: (code) => {
      tree.killAll()
      process.exit(code)
    },
  })
  try {
    await tree.start(shutdown.signal)
  } catch (error) {
    // A signal during the start ends it in order too; what that interrupts is no failure.
    if (shutdown.signal.aborted) return
    shutdown.dispose()
    await tree.stop()
    throw error
  }
}

const graceMs = { demo: 5_000, gateway: 15_000, ingest: 15_000, worker: 15_000, api: 5_000 }
const drainWithinMs = 10_000

class ProductTree {
  readonly #options: UpOptions
  readonly #supervisor: Supervisor
  readonly #instance: Instance
  #config: Config
  #database: DatabaseServer | null = null
  #sinkPort = 0
  #isPrepared = false
  #stopping: Promise<void> | null = null

  constructor(options: UpOptions) {
    this.#options = options
    this.#config = options.config
    this.#supervisor = new Supervisor({ log: options.log, onChange: () => this.#updateInstance() })
    this.#instance = {
      pid: process.pid,
      processStartTicks: startTicksOf(process.pid),
      startedAt: new Date().toISOString(),
      isDemo: options.isDemo,
      tenant: options.config.tenant,
      databaseUrl: options.config.database,
      httpUrl: null,
      smtpAddresses: [],
      roles: {},
    }
  }

  /** One tree a data folder. */
  claim(): void {
    const { data } = this.#config
    const other = claimDataFolder(data, this.#instance)
    if (other !== null) {
      throw new WorldFailure(`Tollgate runs on ${data} already (process ${other.pid}): stop that one, or change data (or TOLLGATE_DATA).`)
    }
  }

  async start(signal: AbortSignal): Promise<void> {
    const { isDemo, log, print } = this.#options
    // The api starts last, and a page that cannot be shown should not be found out only then.
    await ensureFreeAddress(this.#config.http.listen)
    if (isDemo) await this.#startDemo()
    signal.throwIfAborted()
    await this.#startRole('gateway')
    signal.throwIfAborted()
    this.#database = await startDatabaseServer(this.#config, log, () => void this.#moveDatabase())
    this.#useDatabase()
    const login = await withKnownDatabase(this.#config, log, signal, () => prepareDatabase(this.#config, isDemo, log))
    this.#isPrepared = true
    signal.throwIfAborted()
    for (const role of ['ingest', 'worker', 'api'] as const) await this.#startRole(role)
    if (this.#stopping === null) print(this.#nextSteps(login))
  }

  /** Gateway first, then what reads its log until it is read, then the database. Safe to call twice. */
  stop(): Promise<void> {
    return (this.#stopping ??= this.#stopInOrder())
  }

  killAll(): void {
    this.#supervisor.killAll()
  }

  async #stopInOrder(): Promise<void> {
    const { log } = this.#options
    log.info('stopping')
    try {
      if (this.#options.isDemo) await this.#stopRole('demo')
      const since = new Date()
      await this.#stopRole('gateway')
      if (this.#isPrepared && this.#supervisor.detailsOf('ingest') !== null) {
        const drained = await isDrained(this.#config, since, drainWithinMs)
        if (!drained) log.warn('the event log is not read to its end; the rest is read at the next start')
      }
      for (const role of ['ingest', 'worker', 'api'] as const) await this.#stopRole(role)
      await this.#database?.stop()
    } finally {
      removeInstance(this.#config.data)
    }
    log.info('stopped')
  }

  #stopRole(role: RoleName): Promise<void> {
    return this.#supervisor.stop(role, graceMs[role])
  }

  #startRole(role: RoleName): Promise<ReadyDetails> {
    return this.#supervisor.start({ role, command: [program, role === 'demo' ? 'demo-mail' : role], settings: () => this.#settings() })
  }

  #settings(): RoleSettings {
    return { config: this.#config, isDemo: this.#options.isDemo, sinkPort: this.#sinkPort }
  }

  /** The inner mail server of the demo comes up first: the gateway's routes need its port, also after a restart of it. */
  async #startDemo(): Promise<void> {
    const details = await this.#startRole('demo')
    this.#sinkPort = Number(details['sinkPort'])
    this.#config = { ...this.#config, routes: demoRoutes(this.#sinkPort) }
  }

  /** The roles' settings and the instance file name the database that runs now. */
  #useDatabase(): void {
    if (this.#database === null) return
    this.#config = { ...this.#config, database: this.#database.url() }
    this.#updateInstance()
  }

  /** The gateway has no database and goes on undisturbed. */
  async #moveDatabase(): Promise<void> {
    this.#useDatabase()
    for (const role of ['ingest', 'worker', 'api'] as const) {
      if (this.#stopping !== null) return
      await this.#supervisor.restart(role, graceMs[role]).catch((error: unknown) => {
        this.#options.log.error({ err: error }, `${role} does not start on the database that was started again`)
      })
    }
  }

  #updateInstance(): void {
    if (this.#stopping !== null) return
    const instance = this.#instance
    instance.databaseUrl = this.#config.database
    instance.roles = this.#supervisor.processIds()
    instance.httpUrl = (this.#supervisor.detailsOf('api')?.['httpUrl'] as string | undefined) ?? null
    instance.smtpAddresses = (this.#supervisor.detailsOf('gateway')?.['smtpAddresses'] as string[] | undefined) ?? []
    writeInstance(this.#config.data, instance)
  }

  #nextSteps(login: FirstLogin | null): string {
    const { httpUrl, smtpAddresses } = this.#instance
    return nextSteps({ httpUrl: httpUrl ?? '', smtpAddresses, login, isDemo: this.#options.isDemo, config: this.#config })
  }
}
