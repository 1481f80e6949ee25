/**
 * What one remote does in one SMTP session, as data: the history plays it to the session code on a simulated clock,
 * the live stream over a socket.
 */

export type Origin = 'public' | 'scanner' | 'office'

export type SessionPlan = {
  /** Which kind of remote it is: the live stream binds the loopback address of its network. */
  origin: Origin
  /** The remote's address in the history. */
  remoteIp: string
  helo: string
  /** None: connects, says HELO and quits, as the test button of a scanner does. */
  transactions: TransactionPlan[]
}

export type TransactionPlan = {
  sender: string
  recipients: string[]
  message: MessagePlan
  /** Given as SIZE= of MAIL; `null`: the remote does not know the extension. */
  declaredSizeBytes: number | null
  /** Where the remote gives up; with a break of the connection the session ends there. */
  givesUp: 'never' | 'reset-after-rcpt' | 'break-in-data' | 'break-before-reply'
}

export type MessagePlan = {
  /** Header section with its empty line, and then slices of shared filler: 2 MB cost no copy. CRLF line ends. */
  parts: readonly Uint8Array[]
  sizeBytes: number
}
