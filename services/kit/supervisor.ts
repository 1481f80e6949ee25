/**
 * A tree of child processes, one a role: starts them, restarts what dies, stops them one by one in order.
 *
 * Owns    the children it started, by process id; the pause before each restart.
 * Leaves  the order of start and stop to its caller, and what a role does to the program.
 * Why     children are leaders of process groups of their own, so that Ctrl-C on a terminal reaches the supervisor
 *         alone and the order of stopping is kept; settings travel over the IPC channel, so that a database password
 *         stands in no command line or environment. A child whose channel breaks has lost its supervisor, and stops.
 * Fails   a role that never came up rejects `start` with its own sentence; one that came up once is restarted for ever.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import type { Logger } from 'pino'

export type RoleProgram = {
  role: string
  /** Script and its arguments, run by this same node. */
  command: readonly string[]
  /** What the child gets first; asked again at every restart. */
  settings(): unknown
}

/** What a role tells once it serves, e.g. the addresses it listens on. */
export type ReadyDetails = Record<string, unknown>

export type SupervisorOptions = {
  log: Logger
  /** Pause before the first restart; doubles until `lastPauseMs`, and starts again after `steadyMs` of life. */
  firstPauseMs?: number
  lastPauseMs?: number
  steadyMs?: number
  /** After every start, restart and death. */
  onChange?: () => void
}

export class RoleFailed extends Error {
  readonly exitCode: number

  constructor(message: string, exitCode: number) {
    super(message)
    this.exitCode = exitCode
  }
}

/** What goes over the channel, downwards `settings` and upwards the rest. */
export type UpwardMessage = { kind: 'ready'; details: ReadyDetails } | { kind: 'failed'; sentence: string }
export type DownwardMessage = { kind: 'settings'; settings: unknown }

type Supervised = {
  program: RoleProgram
  child: ChildProcess | null
  details: ReadyDetails | null
  pauseMs: number
  restartTimer: NodeJS.Timeout | null
  isStopping: boolean
}

export class Supervisor {
  readonly #log: Logger
  readonly #pauses: { firstMs: number; lastMs: number; steadyMs: number }
  readonly #onChange: () => void
  readonly #roles = new Map<string, Supervised>()

  constructor(options: SupervisorOptions) {
    this.#log = options.log
    this.#pauses = { firstMs: options.firstPauseMs ?? 500, lastMs: options.lastPauseMs ?? 30_000, steadyMs: options.steadyMs ?? 60_000 }
    this.#onChange = options.onChange ?? (() => {})
  }

  /** Resolves when the role serves; rejects with RoleFailed where it ends before that. */
  async start(program: RoleProgram): Promise<ReadyDetails> {
    const supervised: Supervised = {
      program,
      child: null,
      details: null,
      pauseMs: this.#pauses.firstMs,
      restartTimer: null,
      isStopping: false,
    }
    this.#roles.set(program.role, supervised)
    return await this.#launch(supervised)
  }

  /** Asks the role to stop and waits; what does not stop within `graceMs` is killed. Unknown roles are stopped already. */
  async stop(role: string, graceMs: number): Promise<void> {
    const supervised = this.#roles.get(role)
    if (supervised === undefined) return
    supervised.isStopping = true
    if (supervised.restartTimer !== null) clearTimeout(supervised.restartTimer)
    const { child } = supervised
    if (child !== null) {
      const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
      child.kill('SIGTERM')
      const timer = setTimeout(() => {
        this.#log.warn(`${role} did not stop within ${graceMs / 1_000} s and is killed`)
        child.kill('SIGKILL')
      }, graceMs)
      await ended
      clearTimeout(timer)
    }
    this.#roles.delete(role)
  }

  /** Stops the role and starts it anew with the settings of now. */
  async restart(role: string, graceMs: number): Promise<void> {
    const supervised = this.#roles.get(role)
    if (supervised === undefined) return
    await this.stop(role, graceMs)
    await this.start(supervised.program)
  }

  /** Kills every child at once, for an end that cannot wait. */
  killAll(): void {
    for (const supervised of this.#roles.values()) {
      supervised.isStopping = true
      supervised.child?.kill('SIGKILL')
    }
  }

  /** Process id of every role that runs. */
  processIds(): Record<string, number> {
    const entries = [...this.#roles].flatMap(([role, { child }]) => (child?.pid === undefined ? [] : [[role, child.pid] as const]))
    return Object.fromEntries(entries)
  }

  detailsOf(role: string): ReadyDetails | null {
    return this.#roles.get(role)?.details ?? null
  }

  #launch(supervised: Supervised): Promise<ReadyDetails> {
    const { program } = supervised
    const startedAt = performance.now()
    const child = spawn(process.execPath, [...process.execArgv, ...program.command], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      detached: true,
    })
    supervised.child = child
    supervised.details = null
    return new Promise((resolve, reject) => {
      let sentence: string | null = null
      child.on('message', (message: UpwardMessage) => {
        if (message.kind === 'failed') sentence = message.sentence
        else {
          supervised.details = message.details
          this.#onChange()
          resolve(message.details)
        }
      })
      child.on('error', (error) => {
        sentence = error.message
      })
      // Not 'exit': the last message of the channel is delivered before 'close'.
      child.on('close', (code, signal) => {
        supervised.child = null
        const wasReady = supervised.details !== null
        supervised.details = null
        this.#onChange()
        if (supervised.isStopping) return reject(new RoleFailed(`${program.role} was stopped while it started`, 0))
        const how = signal === null ? `exit code ${code}` : signal
        if (wasReady) this.#scheduleRestart(supervised, how, performance.now() - startedAt)
        else reject(new RoleFailed(sentence ?? `${program.role} ended while it started (${how})`, code ?? 1))
      })
      child.send({ kind: 'settings', settings: program.settings() } satisfies DownwardMessage, (error) => {
        if (error !== null) this.#log.debug({ err: error }, `${program.role} did not take its settings`)
      })
      this.#onChange()
    })
  }

  #scheduleRestart(supervised: Supervised, how: string, livedMs: number): void {
    const { role } = supervised.program
    if (livedMs >= this.#pauses.steadyMs) supervised.pauseMs = this.#pauses.firstMs
    const pauseMs = supervised.pauseMs
    supervised.pauseMs = Math.min(pauseMs * 2, this.#pauses.lastMs)
    this.#log.error(`${role} ended unexpectedly (${how}); starting it again in ${pauseMs / 1_000} s`)
    supervised.restartTimer = setTimeout(() => {
      supervised.restartTimer = null
      this.#launch(supervised).then(
        () => this.#log.info(`${role} runs again`),
        (error: unknown) => {
          if (supervised.isStopping) return
          this.#scheduleRestart(supervised, error instanceof Error ? error.message : String(error), 0)
        },
      )
    }, pauseMs)
  }
}
