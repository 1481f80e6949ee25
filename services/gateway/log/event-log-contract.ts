/** The seam between whatever happens in the gateway and the event log that tells it. */
import type { EventBody } from '../../contracts/event.ts'

export interface EventLog {
  /**
   * Completes the event (tenant, node, boot, seq, at), appends its line, and resolves when it is fsynced: group
   * commit, so that concurrent sessions share one fsync. Rejects when the disk fails; the event then has no effect.
   */
  append(body: EventBody): Promise<void>
}
