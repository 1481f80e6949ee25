/** What every service's entry point resolves to: it runs, and stops in an orderly way once, however often it is asked. */
export type RunningService = { stop(): Promise<void> }
