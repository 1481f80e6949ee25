/**
 * SIGINT and SIGTERM: the first one stops the process in order, the second ends it at once.
 *
 * Fails  an error while stopping is logged and makes the exit code 1; the process ends all the same.
 */
import type { Logger } from 'pino'

export type Shutdown = {
  /** Aborted by the first signal, or by `begin`. */
  signal: AbortSignal
  /** Starts the same orderly end without a signal. */
  begin(reason: string): void
  /** Takes the handlers off again. */
  dispose(): void
}

export type ShutdownOptions = {
  log: Logger
  stop(): Promise<void>
  /** Ends the process; the default is process.exit. */
  exit?: (code: number) => void
}

const signals = ['SIGINT', 'SIGTERM'] as const

export function onShutdown(options: ShutdownOptions): Shutdown {
  const { log, stop, exit = (code: number) => process.exit(code) } = options
  const controller = new AbortController()
  const begin = (reason: string): void => {
    if (controller.signal.aborted) {
      log.warn('ending at once')
      exit(1)
      return
    }
    controller.abort(reason)
    stop().then(
      () => exit(0),
      (error: unknown) => {
        log.error({ err: error }, 'stopping failed')
        exit(1)
      },
    )
  }
  const listener = (signal: NodeJS.Signals): void => begin(signal)
  for (const signal of signals) process.on(signal, listener)
  return {
    signal: controller.signal,
    begin,
    dispose: () => signals.forEach((signal) => process.off(signal, listener)),
  }
}
