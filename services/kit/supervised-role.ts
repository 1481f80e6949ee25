/**
 * The child's end of the supervisor's channel.
 *
 * Why  a role started by hand has no channel and reads its own configuration; `supervisedRole` is then `null`.
 */
import type { DownwardMessage, ReadyDetails, UpwardMessage } from './supervisor.ts'

export type SupervisedRole = {
  /** What the supervisor gives first. */
  settings: Promise<unknown>
  ready(details: ReadyDetails): void
  /** The one sentence that the supervisor shows; resolves when it is sent. */
  failed(sentence: string): Promise<void>
  /** Called once when the supervisor is gone: nobody would restart or stop this process any more. */
  onAbandoned(listener: () => void): void
}

export function supervisedRole(): SupervisedRole | null {
  if (process.send === undefined) return null
  const settings = new Promise<unknown>((resolve) => {
    process.once('message', (message: DownwardMessage) => resolve(message.settings))
  })
  const send = (message: UpwardMessage): Promise<void> => {
    return new Promise((resolve) => {
      if (process.connected) process.send?.(message, undefined, {}, () => resolve())
      else resolve()
    })
  }
  return {
    settings,
    ready: (details) => void send({ kind: 'ready', details }),
    failed: (sentence) => send({ kind: 'failed', sentence }),
    onAbandoned: (listener) => void process.once('disconnect', listener),
  }
}
