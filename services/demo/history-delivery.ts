/**
 * What became of the history's messages downstream: told by the relay's own event builders, on the simulated clock.
 */
import type { DeliveryResult, EventBody } from '../contracts/event.ts'
import { deliveryAttempted, messageFinished } from '../gateway/relay/delivery-events.ts'
import type { Envelope, Spool, SpooledMessage } from '../gateway/spool/spool-contract.ts'
import type { SeededRandom } from './seeded-random.ts'

/** An event that the log gets when the clock has come to its time. */
export type DueEvent = { atMs: number; body: EventBody }

export type Released = { envelope: Envelope; sizeBytes: number }

/** A spool that keeps no octets: the history's mail went out long ago. */
export function forgetfulSpool(onRelease: (released: Released) => void): Spool {
  return {
    begin(): SpooledMessage {
      let sizeBytes = 0
      const chunks: Uint8Array[] = []
      let envelope: Envelope | null = null
      return {
        write(chunk) {
          sizeBytes += chunk.length
          chunks.push(chunk)
        },
        async *octets() {
          yield* chunks
        },
        commit: async (committed) => {
          envelope = committed
        },
        release() {
          if (envelope !== null) onRelease({ envelope, sizeBytes })
        },
        abort() {
          envelope = null
        },
      }
    },
  }
}

const nextHop = { route: '*', host: '127.0.0.1', port: 25 }
const taken = { code: 250, enhanced: '2.0.0', text: 'taken' }
const busy = { code: 451, enhanced: '4.3.2', text: 'too busy, try again later' }
const full = { code: 552, enhanced: '5.2.2', text: 'mailbox full' }

/** Most are delivered at once, some at the second try, and few mailboxes are full. */
export function deliveriesOf({ envelope, sizeBytes }: Released, random: SeededRandom): DueEvent[] {
  const addresses = envelope.recipients.filter((recipient) => recipient.disposition !== 'quarantine').map((recipient) => recipient.address)
  if (envelope.disposition === 'quarantine' || addresses.length === 0) return []
  const sentBytes = sizeBytes + Buffer.byteLength(envelope.prependedHeaders)
  const events: DueEvent[] = []
  let startedAtMs = envelope.acceptedAtMs + random.whole(3, 400)
  let attempt = 0
  const tell = (results: DeliveryResult[], octets: number): void => {
    attempt += 1
    const durationUs = Math.round(random.logNormal(9_000, 0.7) + octets / 40)
    const body = deliveryAttempted({ queueId: envelope.queueId, attempt, startedAtMs, durationUs, nextHop, tls: null, recipients: results, sentBytes: octets })
    events.push({ atMs: startedAtMs + Math.ceil(durationUs / 1_000), body })
    startedAtMs += Math.ceil(durationUs / 1_000) + random.whole(60_000, 75_000)
  }
  if (random.chance(0.02)) tell(addresses.map((address) => ({ address, outcome: 'deferred', reply: busy, error: null })), 0)
  const results = addresses.map((address): DeliveryResult => {
    return random.chance(0.002)
      ? { address, outcome: 'failed', reply: full, error: null }
      : { address, outcome: 'delivered', reply: taken, error: null }
  })
  tell(results, sentBytes)
  const failedCount = results.filter((result) => result.outcome === 'failed').length
  const finishedAtMs = events.at(-1)!.atMs
  const body = messageFinished({
    queueId: envelope.queueId,
    acceptedAtMs: envelope.acceptedAtMs,
    finishedAtMs,
    deliveredCount: results.length - failedCount,
    failedCount,
    expiredCount: 0,
  })
  return [...events, { atMs: finishedAtMs, body }]
}
