/** Waiting as it is passed in, so that a test can let hours pass at once. Connection time limits are real time. */
export type Timers = { after(delayMs: number, callback: () => void): { cancel(): void } }

const longestDelayMs = 2 ** 31 - 1

export const systemTimers: Timers = {
  after(delayMs, callback) {
    const timer = setTimeout(callback, Math.min(Math.max(0, delayMs), longestDelayMs))
    return { cancel: () => clearTimeout(timer) }
  },
}
