/**
 * One SMTP session: octets in, replies out, one event per transaction and one for itself (RFC 5321, RFC 2920).
 *
 * Owns    the order of things: commands one after another, replies gathered until nothing is left to read, the next
 *         command only when the one before is answered; and the end of the session.
 * Leaves  what a command means to dialog.ts, sockets to listener.ts.
 * Limits  limits.commandLineBytes; unread input is at most limits.aheadBytes and one chunk.
 * Why     knows no socket and no clock of its own, so that the demo writes its history through it.
 * Fails   a fault of our own ends this session with 421 and is reported; the others go on.
 */
import type { NetworkClass, Reason } from '../../contracts/vocabulary.ts'
import * as limit from '../limits.ts'
import type { Policy } from '../policy/policy.ts'
import type { Spool } from '../spool/spool-contract.ts'
import type { Connection } from './connection.ts'
import { Dialog } from './dialog.ts'
import type { FinishDeps } from './finish-message.ts'
import type { SubmissionUsers } from '../submission/submission-users.ts'
import type { Ids } from './ids.ts'
import { reply, replyLine, type Reply } from './reply.ts'
import { ReplyWriter } from './reply-writer.ts'
import { SessionRecord, type ClosedBy } from './session-record.ts'

export type SessionDeps = FinishDeps & { policy: () => Policy; spool: Spool; ids: Ids; users: SubmissionUsers }

const LF = 10
const CR = 13
/** Events of refusals that a session may have on their way to the disk before it waits for them. */
const unloggedEvents = 8

export class Session {
  /** Resolves when `session.closed` is in the log, or could not be put there. */
  readonly closed: Promise<void>
  readonly #deps: SessionDeps
  readonly #connection: Connection
  readonly #record: SessionRecord
  readonly #replies: ReplyWriter
  readonly #dialog: Dialog
  #input: Buffer = Buffer.alloc(0)
  #at = 0
  #isSkippingLine = false
  #isBusy = false
  #isPaused = false
  #hasRemoteEnded = false
  /** The remote ended its side before it could read our last replies. */
  #wasDeaf = false
  #isBroken = false
  #isStopping = false
  #isClosed = false
  #work: Promise<void> = Promise.resolve()
  #resolveClosed!: () => void

  constructor(deps: SessionDeps, connection: Connection) {
    this.#deps = deps
    this.#connection = connection
    this.closed = new Promise((resolve) => (this.#resolveClosed = resolve))
    this.#record = new SessionRecord(deps.clock.nowMs())
    this.#replies = new ReplyWriter(connection)
    const { remoteIp, remotePort, listener } = connection
    const network = deps.policy().networks.networkOf(remoteIp)
    const facts = {
      sessionId: deps.ids.session(),
      listener,
      remote: {
        ip: remoteIp,
        port: remotePort,
        reverseName: null,
        forwardConfirmed: null,
        country: null,
        networkClass: network.class,
        networkName: network.name,
      },
      helo: null,
      isExtended: false,
      tls: connection.tls,
      authUser: null,
      mayRelay: network.mayRelay,
    }
    this.#dialog = new Dialog(deps, connection, facts, this.#record, (text, accepted) => this.#replies.add(text, accepted))
  }

  get networkClass(): NetworkClass {
    return this.#dialog.facts.remote.networkClass
  }

  /** Greets the remote, or turns it away where who accepted the connection, or a rule, says so. */
  open(turnedAway: { reply: Reply; reason: Reason } | null = null): void {
    const opened = this.#dialog.open(turnedAway)
    if (opened instanceof Promise) {
      // What comes in meanwhile waits in the input.
      this.#isBusy = true
      this.#work = opened.catch((error: unknown) => this.#fail(error)).then(() => this.#pump())
      return
    }
    this.#replies.flush()
    if (this.#dialog.closing !== null) this.#close(this.#dialog.closing)
  }

  /** Octets from the remote, in order. */
  receive(chunk: Buffer): void {
    if (this.#isClosed) return
    this.#record.receivedBytes += chunk.length
    this.#replies.heard()
    this.#input = this.#at < this.#input.length ? Buffer.concat([this.#input.subarray(this.#at), chunk]) : chunk
    this.#at = 0
    if (!this.#isBusy) this.#work = this.#pump()
    else if (!this.#isPaused && this.#input.length > this.#deps.limits.aheadBytes) {
      this.#isPaused = true
      this.#connection.pause()
    }
  }

  /** Resolves when everything received so far is answered, or waits for more. */
  settled(): Promise<void> {
    return this.#work
  }

  /** The remote sends nothing more, and may still read. */
  remoteEnded(): void {
    this.#hasRemoteEnded = true
    if (this.#isBusy) this.#wasDeaf = true
    else this.#close('remote')
  }

  /** The connection broke: nothing can be written. */
  connectionLost(): void {
    this.#isBroken = true
    this.#dialog.isRemoteGone = true
    if (!this.#isBusy) this.#close('error')
  }

  /** Nothing came for limits.idleSeconds. What we do ourselves in between is not the remote's idleness. */
  timedOut(): void {
    if (!this.#isBusy && !this.#isClosed) this.#endByTimeout(limit.idleTooLong())
  }

  /** The gateway stops: an open transaction may end first, nothing new begins. */
  stop(): void {
    this.#isStopping = true
    if (!this.#isBusy && this.#dialog.transaction === null) this.#sayStopping()
  }

  /** The stop waits no longer. */
  abandon(): void {
    this.#isStopping = true
    if (!this.#isBusy) this.#sayStopping()
  }

  /** The turns of this loop are the only ones that touch the dialog while it runs. */
  async #pump(): Promise<void> {
    this.#isBusy = true
    try {
      while (this.#dialog.closing === null && this.#at < this.#input.length) {
        const wait = this.#dialog.isReceivingData ? this.#takeData() : this.#takeCommand()
        if (wait === 'more') break
        if (wait === null) continue
        this.#replies.flush()
        await wait
      }
      this.#replies.flush()
      const drained = this.#connection.drained()
      if (drained !== null) await drained
    } catch (error) {
      this.#fail(error)
    }
    this.#isBusy = false
    this.#afterPump()
  }

  #fail(error: unknown): void {
    this.#deps.onFault(error as Error, 'A session ended by a fault of the gateway')
    this.#replies.add(replyLine(reply(421, '4.3.0', 'Internal fault, try again later')))
    this.#dialog.closing = 'gateway'
  }

  #afterPump(): void {
    if (this.#isBroken) return this.#close('error')
    if (this.#dialog.closing !== null) return this.#close(this.#dialog.closing)
    if (this.#hasRemoteEnded) return this.#close('remote')
    if (this.#isStopping && this.#dialog.transaction === null) return this.#sayStopping()
    if (!this.#isPaused) return
    this.#isPaused = false
    this.#connection.resume()
  }

  /** One command of the input; `more` where its line is not whole, else what to wait for. */
  #takeCommand(): 'more' | Promise<void> | null {
    if (this.#isStopping && this.#dialog.transaction === null) return 'more'
    const end = this.#input.indexOf(LF, this.#at)
    const lineBytes = (end < 0 ? this.#input.length : end + 1) - this.#at
    if (lineBytes > this.#deps.limits.commandLineBytes || this.#isSkippingLine) {
      if (!this.#isSkippingLine) this.#dialog.malformed(limit.lineTooLong(), 'line-too-long')
      this.#isSkippingLine = end < 0
      this.#at += lineBytes
      return null
    }
    if (end < 0) return 'more'
    const start = this.#at
    this.#at = end + 1
    const hasCr = end > start && this.#input[end - 1] === CR
    const line = this.#input.toString('utf8', start, hasCr ? end - 1 : end)
    if (!hasCr && this.#dialog.facts.remote.networkClass === 'public') {
      this.#dialog.malformed(reply(500, '5.5.2', 'Lines end with CR LF'), 'bare-lf-in-command')
    } else if (/[\0\r]/.test(line)) {
      this.#dialog.malformed(reply(500, '5.5.2', 'A command has no NUL and no CR in it'), 'control-octet-in-command')
    } else {
      const answered = this.#dialog.command(line, lineBytes)
      if (answered instanceof Promise) return answered
      if (this.#dialog.isStartingTls) return this.#startTls()
    }
    return this.#dialog.unloggedCount > unloggedEvents ? this.#dialog.logged : null
  }

  async #startTls(): Promise<void> {
    // Commands that came in the clear behind STARTTLS were not meant to be answered inside it.
    this.#input = this.#input.subarray(0, 0)
    this.#at = 0
    this.#replies.flush()
    const tls = await this.#connection.startTls()
    if (tls !== null) return this.#dialog.secured(tls)
    this.#record.violate('tls-handshake-failed')
    this.connectionLost()
  }

  #takeData(): Promise<void> | null {
    const { clock, limits } = this.#deps
    const chunk = this.#at === 0 ? this.#input : this.#input.subarray(this.#at)
    const { consumedBytes, wait } = this.#dialog.takeData(chunk)
    this.#at += consumedBytes
    const isLate = clock.nowMs() - this.#dialog.dataStartedMs > limits.dataSeconds * 1_000
    if (isLate && wait === null && this.#dialog.isReceivingData) this.#endByTimeout(limit.dataTookTooLong())
    return wait
  }

  #endByTimeout(answer: Reply): void {
    this.#record.violate('timeout')
    this.#dialog.abort('timeout', answer)
    this.#replies.add(replyLine(answer))
    this.#dialog.closing = 'timeout'
    if (!this.#isBusy) this.#close('timeout')
  }

  #sayStopping(): void {
    if (this.#isClosed) return
    const answer = reply(421, '4.3.2', 'The server is stopping, try again later')
    this.#dialog.abort('server-stopping', answer)
    this.#replies.add(replyLine(answer))
    this.#close('gateway')
  }

  #close(closedBy: ClosedBy): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#dialog.abort('client-gone')
    this.#replies.flush()
    this.#input = this.#input.subarray(0, 0)
    void this.#connection.close().then(({ isBroken }) => this.#logClosed(closedBy, isBroken || this.#isBroken))
  }

  async #logClosed(closedBy: ClosedBy, isBroken: boolean): Promise<void> {
    const { clock, duplicates, eventLog, onFault } = this.#deps
    const nowMs = clock.nowMs()
    for (const { transactionId, identity } of this.#replies.unheard(isBroken || this.#wasDeaf)) {
      this.#record.unflushedTransactionIds.push(transactionId)
      duplicates.add(identity, transactionId, nowMs)
    }
    this.#record.sentBytes = this.#replies.sentBytes
    try {
      await eventLog.append(this.#record.closed(this.#dialog.facts, isBroken ? 'error' : closedBy, nowMs))
    } catch (error) {
      onFault(error as Error, 'The end of a session could not be logged')
    }
    this.#resolveClosed()
  }
}
