/**
 * The seam between the SMTP session and the spool: how a message becomes durable and is handed to the relay.
 *
 * Order  write… → commit (octets and envelope fsynced) → the session logs `transaction.ended` (fsynced)
 *        → release (the relay may deliver) → 250. A crash before the event leaves a spooled message that was
 *        never acknowledged: recovery drops it. A crash after it leaves one that recovery delivers.
 */

export type Envelope = {
  /** Equal to the transaction id. */
  queueId: string
  /** Reverse-path; the empty string is `<>`. */
  sender: string
  /** Whom to deliver to, after redirections and copies: address as it goes to the next hop, and as compared. */
  recipients: readonly EnvelopeRecipient[]
  acceptedAtMs: number
  is8BitMime: boolean
  isSmtpUtf8: boolean
  /** Whether a DSN may be sent to the sender: only a local or trusted one, and never `<>`. */
  mayNotifySender: boolean
  /** Complete header lines, each ended by CRLF, that go downstream before the message: Received, marks. */
  prependedHeaders: string
  /** Tag put before the subject downstream, e.g. `[SPAM]`, or `null`. */
  subjectTag: string | null
  /** `deliver`, or kept until somebody releases it. */
  disposition: 'deliver' | 'quarantine'
  /** Lower-case names of header fields that the sender may not set, as they would pose as marks of ours. */
  reservedNames?: readonly string[]
  /** What of it the sender wants back in a report, and its own id for it (RFC 3461). */
  dsn?: { return: 'full' | 'headers' | null; envelopeId: string | null }
  /** The message that this one reports about, and the positions of those that it tells of. */
  reportOf?: { queueId: string; recipients: readonly number[] }
  /** The rule that holds all of it; absent where none does, or weight alone decided. */
  heldByRuleId?: string
}

export type EnvelopeRecipient = {
  address: string
  normalized: string
  /** Set where a rule keeps this recipient back while others of the message are delivered. */
  disposition?: 'quarantine'
  /** A copy beside the message: what becomes of it does not count for the message. */
  isClone?: true
  /** As the sender named it, where the sender may be told what becomes of it; nobody is told of copies. */
  named?: NamedRecipient
  /** The rule that holds it from this recipient. */
  heldByRuleId?: string
}

export type NamedRecipient = {
  address: string
  /** `null`: nothing was said, which means failures. */
  notify: readonly ('never' | 'success' | 'failure' | 'delay')[] | null
  /** As in `rfc822;ann@example.org`. */
  originalRecipient: string | null
}

export interface Spool {
  /** A place for the octets of one message, as received: dot-stuffing undone, CRLF line ends. Does no I/O yet. */
  begin(queueId: string): SpooledMessage
}

export interface SpooledMessage {
  /** Takes octets; the spool may keep a reference, so the caller must not reuse the buffer. A promise: wait before the next. */
  write(chunk: Uint8Array): void | Promise<void>
  /** All that was written, from the first octet; after the last write and before commit. Rejects when the disk fails. */
  octets(): AsyncIterable<Uint8Array>
  /** Resolves when octets and envelope are fsynced (group commit with other sessions). Rejects when the disk fails. */
  commit(envelope: Envelope): Promise<void>
  /** After the event is durable: the relay may take it. */
  release(): void
  /** Forgets the message, before or after commit; never throws. */
  abort(): void
}
