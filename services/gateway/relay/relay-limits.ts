/** The limits of the relay in one place; time limits as RFC 5321 §4.5.3.2 asks, connecting as Postfix does. */
export const relayLimits = {
  connectMs: 30_000,
  greetingMs: 300_000,
  commandMs: 300_000,
  dataMs: 120_000,
  /** Per block of a message that the next hop does not take. */
  dataBlockMs: 180_000,
  finalReplyMs: 600_000,
  tlsMs: 30_000,
  /** An idle connection is given back after this. */
  idleMs: 15_000,
  recipientsPerTransaction: 100,
  /** Probes of a next hop that is down: the first after, and at most. */
  firstProbeMs: 5_000,
  lastProbeMs: 300_000,
  /** After a handshake failed where TLS is optional, plain text is used for so long. */
  plainMs: 600_000,
  /** While other connections work and one more was refused, none is opened for so long. */
  noMoreConnectionsMs: 10_000,
  /** How long stopping waits for deliveries under way. */
  stopMs: 10_000,
}
export type RelayLimits = typeof relayLimits
