/** The seam between a session and whatever carries its octets: a socket, or the demo's history without any. */
import type { Tls } from '../../contracts/event.ts'

export type Connection = {
  remoteIp: string | null
  remotePort: number | null
  /** Address of the listener, e.g. `127.0.0.1:2525`. */
  listener: string | null
  /** People log in here to send mail (RFC 6409); elsewhere servers bring it. */
  readonly isSubmission: boolean
  /** In use from the beginning or since `startTls`; `null`: in the clear. */
  readonly tls: Tls | null
  /** Whether TLS is offered and not yet in use. */
  readonly mayStartTls: boolean
  /** Secures the connection behind what was written; `null`: the handshake failed and the connection is broken. */
  startTls(): Promise<Tls | null>
  /** Takes replies in order; `done` tells whether they could be handed over. */
  write(text: string, done: (error?: Error | null) => void): void
  /** `null` where more can be written at once, else a promise to wait for before more is read. */
  drained(): Promise<void> | null
  pause(): void
  resume(): void
  /** Ends the connection behind what was written; resolves when it is over. */
  close(): Promise<{ isBroken: boolean }>
}
