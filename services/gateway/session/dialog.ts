/**
 * The dialog of one session: what each command means in the state the session is in, and what is answered.
 *
 * Owns    the state (who the remote is, the open transaction, the message coming in) and the event of every
 *         transaction that ends without being accepted.
 * Leaves  syntax to verbs/, who may what to policy/, the end of data to finish-message.ts, octets and closing to
 *         session.ts.
 */
import type { Tls } from '../../contracts/event.ts'
import type { Reason, Stage } from '../../contracts/vocabulary.ts'
import type { Verdict } from '../../rules/evaluate-stage.ts'
import { MessageReceiver } from '../data/message-receiver.ts'
import * as limit from '../limits.ts'
import { maySendAs } from '../submission/submission-users.ts'
import type { SubmissionUser } from '../submission/users-file.ts'
import { auth, authMechanisms, continueAuth, type AuthExchange, type AuthOutcome } from '../verbs/auth.ts'
import { bdat, type Bdat, malformedBdat, withinChunks } from '../verbs/bdat.ts'
import { extensions, helo } from '../verbs/helo.ts'
import { mailFrom } from '../verbs/mail-from.ts'
import { expn, help, noop, quit, rset, unknownVerb, vrfy } from '../verbs/plain-verbs.ts'
import { rcptTo } from '../verbs/rcpt-to.ts'
import { starttls } from '../verbs/starttls.ts'
import { startData } from '../verbs/start-data.ts'
import type { Connection } from './connection.ts'
import type { MessageIdentity } from './duplicate-index.ts'
import { finishMessage, refusalOfContent, takeMessageFacts } from './finish-message.ts'
import { nameRecipient } from './name-recipient.ts'
import { isRefusal, multilineReply, reply as replyOf, replyLine, type Reply } from './reply.ts'
import type { SessionDeps } from './session.ts'
import type { ClosedBy, SessionRecord } from './session-record.ts'
import { andThen, type MaybePromise } from './maybe-promise.ts'
import { runStage } from './stage-rules.ts'
import { endingOf, endingOfVerdict, endingWithoutMessage, transactionEnded, type Ending } from './ending.ts'
import { SessionStart } from './session-start.ts'
import { acceptedRecipients, type SessionFacts, type Transaction } from './transaction.ts'

/** `leftBytes`: of its octets, those to come. */
type Chunk = Bdat & { leftBytes: number }

export type Say = (text: string, accepted?: { transactionId: string; identity: MessageIdentity }) => void

export class Dialog {
  facts: SessionFacts
  transaction: Transaction | null = null
  /** The next octets are the handshake: nothing that came in before it counts. */
  isStartingTls = false
  /** Set where the session is to be closed behind the last reply. */
  closing: ClosedBy | null = null
  isRemoteGone = false
  /** When the present message began to come in. */
  dataStartedMs = 0
  /** Events that are not durable yet, and the promise to wait for. */
  unloggedCount = 0
  logged: Promise<void> = Promise.resolve()
  readonly #deps: SessionDeps
  readonly #record: SessionRecord
  readonly #say: Say
  readonly #connection: Connection
  readonly #start: SessionStart
  #receiver: MessageReceiver | null = null
  /** The message comes by BDAT: between its chunks stand commands. */
  #isChunked = false
  #chunk: Chunk | null = null
  /** The next line answers a challenge of AUTH. */
  #exchange: AuthExchange | null = null
  #user: SubmissionUser | null = null

  constructor(deps: SessionDeps, connection: Connection, facts: SessionFacts, record: SessionRecord, say: Say) {
    this.#deps = deps
    this.#connection = connection
    this.facts = facts
    this.#record = record
    this.#say = say
    this.#start = new SessionStart(deps)
  }

  get isReceivingData(): boolean {
    return this.#chunk !== null || (this.#receiver !== null && !this.#isChunked)
  }

  /** The greeting, or a refusal by a rule or by who accepted the connection. A promise: wait before anything else. */
  open(turnedAway: { reply: Reply; reason: Reason } | null): MaybePromise<void> {
    if (turnedAway !== null) {
      const outcome = turnedAway.reply.code < 500 ? 'deferred' : 'refused'
      return this.#turnAway('connect', endingOf({ ...turnedAway, outcome, stage: 'connect' }))
    }
    return andThen(this.#start.connect(this.facts), (verdict) => {
      this.#learnRemote()
      if (verdict !== null) return this.#turnAway('connect', endingOfVerdict(verdict, 'connect'))
      this.#say(`220 ${this.#deps.hostname} ESMTP Tollgate\r\n`)
    })
  }

  /** One command without its line end; answers it through `say`. A promise: wait before the next. */
  command(line: string, lineBytes: number): MaybePromise<void> {
    if (this.#exchange !== null) return this.#auth(continueAuth(this.#exchange, line))
    const space = line.indexOf(' ')
    const verb = (space < 0 ? line : line.slice(0, space)).toUpperCase()
    const argument = space < 0 ? '' : line.slice(space + 1).trimStart()
    if (this.transaction !== null) this.transaction.commandBytes += lineBytes
    switch (verb) {
      case 'RCPT':
        return andThen(this.#rcpt(argument), (answer) => this.#answer(verb, answer))
      case 'MAIL':
        return andThen(this.#mail(argument, lineBytes), (answer) => this.#answer(verb, answer))
      case 'DATA':
        return this.#answer(verb, this.#data(argument))
      case 'BDAT':
        return this.#bdat(argument)
      case 'EHLO':
      case 'HELO':
        return this.#helo(verb, argument)
      case 'RSET':
        return this.#rset(argument)
      case 'AUTH':
        return this.#auth(auth(this.#authState(), argument))
      case 'STARTTLS':
        return this.#starttls(argument)
      case 'NOOP':
        return this.#answer(verb, noop())
      case 'VRFY':
        return this.#answer(verb, vrfy(argument))
      case 'EXPN':
        return this.#answer(verb, expn())
      case 'HELP':
        return this.#answer(verb, help())
      case 'QUIT':
        this.#endWithoutMessage('aborted')
        this.#answer(verb, quit())
        this.closing = 'remote'
        return
      case 'PROXY':
        // It wants to be taken for somebody else: nothing that follows is worth reading.
        this.malformed(limit.noProxyOfOurs(), 'proxy-not-listed')
        this.closing = 'gateway'
        return
      default:
        // One word for all of them: a remote must not be able to fill the event of its session with names.
        this.#answer('UNKNOWN', unknownVerb())
    }
  }

  /** A command that could not be read as one. */
  malformed(answer: Reply, violation: string): void {
    this.#exchange = null
    this.#record.violate(violation)
    this.#answer('UNKNOWN', answer)
  }

  /** Message octets. `wait` before the next call. */
  takeData(chunk: Buffer): { consumedBytes: number; wait: Promise<void> | null } {
    if (this.#chunk !== null) return this.#takeChunk(this.#chunk, chunk)
    const receiver = this.#receiver!
    const { consumedBytes, isEnd, wait } = receiver.receive(chunk)
    if (isEnd)
      return {
        consumedBytes,
        wait: wait === null ? this.#finishMessage(receiver) : wait.then(() => this.#finishMessage(receiver)),
      }
    if (!this.#isHeaderDecidedNow(receiver)) return { consumedBytes, wait }
    const decided = this.#decideHeader(receiver)
    if (!(decided instanceof Promise)) return { consumedBytes, wait }
    return { consumedBytes, wait: wait === null ? decided : wait.then(() => decided) }
  }

  /** Ends what is open because the session ends. */
  abort(reason: Reason, answer: Reply | null = null): void {
    const transaction = this.transaction
    if (transaction === null) return
    if (this.#receiver === null) {
      this.#end(
        endingWithoutMessage(
          transaction,
          endingOf({ outcome: 'aborted', stage: stageOf(transaction), reason, reply: answer }),
        ),
      )
      return
    }
    this.#dropMessage(this.#receiver)
    this.#end(endingOf({ outcome: 'aborted', stage: 'complete', reason, reply: answer }))
  }

  #answer(verb: string, answer: Reply): void {
    this.#record.countVerb(verb, isRefusal(answer))
    this.#say(replyLine(answer))
    if (mistakes.has(answer.code)) this.#countError()
    if (this.#record.badRecipientCount >= this.#deps.limits.badRecipientsPerSession) {
      this.#close('too-many-errors', limit.tooManyBadRecipients())
    }
  }

  #countError(): void {
    this.#record.errorCount += 1
    if (this.#record.errorCount >= this.#deps.limits.errorsPerSession)
      this.#close('too-many-errors', limit.tooManyErrors())
  }

  #close(reason: Reason, answer: Reply): void {
    if (this.closing !== null) return
    this.#record.violate(reason)
    this.#say(replyLine(answer))
    this.abort(reason, answer)
    this.closing = 'gateway'
  }

  #turnAway(stage: Stage, ending: Ending): void {
    const transaction = this.#start.turnedAway(this.facts)
    this.#record.transactionCount += 1
    if (ending.reply !== null) this.#say(replyLine(ending.reply))
    this.#log(transaction, { ...ending, stage })
    this.closing = 'gateway'
  }

  #learnRemote(): void {
    const { remote } = this.#start
    if (remote !== null) this.facts = { ...this.facts, remote }
  }

  #helo(verb: 'EHLO' | 'HELO', argument: string): MaybePromise<void> {
    const outcome = helo(argument)
    if ('reply' in outcome) return this.#answer(verb, outcome.reply)
    this.#endWithoutMessage('reset')
    this.facts = { ...this.facts, helo: outcome.helo, isExtended: verb === 'EHLO' }
    return andThen(this.#start.helo(this.facts), (verdict) => this.#greet(verb, verdict))
  }

  #greet(verb: 'EHLO' | 'HELO', verdict: Verdict | null): void {
    this.#learnRemote()
    if (verdict !== null) {
      // A client that was refused at EHLO tries HELO next: both are one attempt, told by one event.
      if (!this.#start.isRefusalLogged) {
        this.#start.isRefusalLogged = true
        this.#record.transactionCount += 1
        this.#log(this.#start.turnedAway(this.facts), endingOfVerdict(verdict, 'helo'))
      }
      this.#answer(verb, verdict.reply!)
      return this.#countError()
    }
    this.#record.countVerb(verb, false)
    const { hostname, limits } = this.#deps
    const offered = extensions(limits.messageBytes, this.#connection.mayStartTls, this.#isAuthOffered ? authMechanisms : [], this.#hasReports)
    this.#say(multilineReply(250, verb === 'HELO' ? [hostname] : [hostname, ...offered]))
  }

  #mail(argument: string, lineBytes: number): MaybePromise<Reply> {
    const { limits, clock } = this.#deps
    const startedUs = clock.monotonicUs()
    const { networkClass } = this.facts.remote
    if (this.#connection.isSubmission && this.#user === null) return limit.logInFirst(this.facts.tls !== null)
    const isAuthOffered = this.#user !== null
    const state = { hasHelo: this.#start.isGreeted, isOpen: this.transaction !== null, networkClass, isAuthOffered, hasReports: this.#hasReports }
    const outcome = mailFrom(state, argument, limits)
    if (outcome.mail === null) return outcome.reply
    if (this.#record.transactionCount >= limits.transactionsPerSession) {
      this.closing = 'gateway'
      return limit.tooManyTransactions()
    }
    this.#record.transactionCount += 1
    const { mail, reply, isTooLarge } = outcome
    return andThen(this.#start.transaction(this.facts), (blank) => {
      const transaction = Object.assign(blank, mail, { commandBytes: lineBytes })
      this.transaction = transaction
      const isDenied = !isTooLarge && this.#user !== null && !maySendAs(this.#user, mail.sender)
      if (isDenied) {
        const answer = limit.notYourAddress()
        this.#end(endingOf({ outcome: 'refused', stage: 'mail', reason: 'sender-denied', reply: answer }))
        return answer
      }
      const verdict = isTooLarge ? null : (this.#start.lateVerdict ?? this.#judgeSender(transaction))
      return andThen(verdict, (refusal) => {
        transaction.timings.mailUs = clock.monotonicUs() - startedUs
        if (isTooLarge) this.#end(endingOf({ outcome: 'refused', stage: 'mail', reason: 'size-limit', reply }))
        else if (refusal !== null) this.#end(endingOfVerdict(refusal, 'mail'))
        return refusal?.reply ?? reply
      })
    })
  }

  #judgeSender(transaction: Transaction): MaybePromise<Verdict | null> {
    return andThen(runStage(this.#deps, transaction, 'mail', null), ({ verdict }) => refusingVerdict(verdict))
  }

  #rcpt(argument: string): MaybePromise<Reply> {
    if (this.#receiver !== null) return withinChunks
    const outcome = rcptTo(this.transaction, argument, this.#deps.limits, this.#hasReports)
    if ('reply' in outcome) return outcome.reply
    return andThen(nameRecipient(this.#deps, this.transaction!, outcome), (recipient) => {
      const isBad = recipient.reason === 'unknown-recipient' || recipient.reason === 'relay-denied'
      if (isBad) this.#record.badRecipientCount += 1
      return recipient.reply
    })
  }

  #data(argument: string): Reply {
    if (this.#receiver !== null) return withinChunks
    const transaction = this.transaction
    const answer = startData(transaction, transaction === null ? 0 : acceptedRecipients(transaction).length, argument)
    if (answer.code !== 354 || transaction === null) return answer
    this.#beginMessage(transaction, 'dots')
    return answer
  }

  #beginMessage(transaction: Transaction, framing: 'dots' | 'counted'): void {
    const { clock, limits, spool } = this.#deps
    this.dataStartedMs = clock.nowMs()
    this.#isChunked = framing === 'counted'
    this.#receiver = new MessageReceiver(spool.begin(transaction.id), {
      lineEnds: this.facts.remote.networkClass === 'device' ? 'normalise' : 'strict',
      framing,
      maxBytes: limits.messageBytes,
      headerSectionBytes: limits.headerSectionBytes,
    })
  }

  #bdat(argument: string): MaybePromise<void> {
    const transaction = this.transaction
    const chunk = bdat(transaction, transaction === null ? 0 : acceptedRecipients(transaction).length, argument)
    if (chunk === null) {
      this.#answer('BDAT', malformedBdat)
      this.abort('protocol-violation', malformedBdat)
      this.closing = 'gateway'
      return
    }
    if (chunk.refusal !== null) this.dataStartedMs = this.#deps.clock.nowMs()
    else if (this.#receiver === null) this.#beginMessage(transaction!, 'counted')
    this.#chunk = { ...chunk, leftBytes: chunk.sizeBytes }
    if (chunk.sizeBytes === 0) return this.#endChunk(this.#chunk)
  }

  /** Octets of a chunk; those of a refused one are read over. */
  #takeChunk(chunk: Chunk, octets: Buffer): { consumedBytes: number; wait: Promise<void> | null } {
    const part = octets.length > chunk.leftBytes ? octets.subarray(0, chunk.leftBytes) : octets
    chunk.leftBytes -= part.length
    let wait: MaybePromise<void> | null = null
    if (chunk.refusal === null) {
      const receiver = this.#receiver!
      wait = receiver.receive(part).wait
      if (this.#isHeaderDecidedNow(receiver)) wait = andThen(wait ?? undefined, () => this.#decideHeader(receiver))
    }
    if (chunk.leftBytes === 0) wait = andThen(wait ?? undefined, () => this.#endChunk(chunk))
    return { consumedBytes: part.length, wait: wait instanceof Promise ? wait : null }
  }

  #endChunk({ sizeBytes, isLast, refusal }: Chunk): MaybePromise<void> {
    this.#chunk = null
    if (refusal !== null) return this.#answer('BDAT', refusal)
    const receiver = this.#receiver
    // A rule of `header` refused it, and the connection ends.
    if (receiver === null) return
    if (isLast) {
      this.#record.countVerb('BDAT', false)
      return andThen(receiver.end() ?? undefined, () => this.#finishMessage(receiver))
    }
    const ending = refusalOfContent(receiver, this.#deps.limits)
    if (ending === null) return this.#answer('BDAT', replyOf(250, '2.0.0', `${sizeBytes} octets taken`))
    this.#record.countVerb('MESSAGE', true)
    this.#say(replyLine(ending.reply!))
    this.#dropMessage(receiver)
    this.#end(ending)
  }

  /** What came of it stays known. */
  #dropMessage(receiver: MessageReceiver): void {
    takeMessageFacts(this.transaction!, receiver)
    receiver.drop()
    this.#receiver = null
  }

  #isHeaderDecidedNow(receiver: MessageReceiver): boolean {
    const { policy, isHeaderJudged } = this.transaction!
    return policy.rules.ruleset.decideHeaderRulesAt === 'header' && receiver.isHeaderComplete && !isHeaderJudged
  }

  /** A refusal before the end of data: the connection cannot go on behind it. */
  #decideHeader(receiver: MessageReceiver): MaybePromise<void> {
    const transaction = this.transaction!
    takeMessageFacts(transaction, receiver)
    return andThen(runStage(this.#deps, transaction, 'header', null), ({ verdict }) => {
      const refusal = refusingVerdict(verdict)
      if (refusal === null) return
      receiver.drop()
      this.#receiver = null
      this.#say(replyLine(refusal.reply!))
      this.#end(endingOfVerdict(refusal, 'header'))
      this.closing = 'gateway'
    })
  }

  async #finishMessage(receiver: MessageReceiver): Promise<void> {
    const transaction = this.transaction!
    const { ending, accepted, isLogged } = await finishMessage(
      this.#deps,
      transaction,
      receiver,
      () => this.isRemoteGone,
    )
    this.#receiver = null
    this.transaction = null
    if (!isLogged) this.#log(transaction, ending)
    if (ending.reply === null) return
    this.#record.countVerb('MESSAGE', isRefusal(ending.reply))
    this.#say(
      replyLine(ending.reply),
      accepted === null ? undefined : { transactionId: transaction.id, identity: accepted },
    )
  }

  /** Only who may be written back to is offered it: a stranger's address proves nothing (DESIGN §4). */
  get #hasReports(): boolean {
    const { mayRelay, remote } = this.facts
    return mayRelay || remote.networkClass !== 'public' || this.#connection.isSubmission
  }

  get #isAuthOffered(): boolean {
    return this.#connection.isSubmission && this.#connection.tls !== null && this.#user === null
  }

  #authState() {
    const { isExtended, tls } = this.facts
    return {
      isSubmission: this.#connection.isSubmission,
      isSecured: tls !== null,
      isExtended,
      isOpen: this.transaction !== null,
      isAuthenticated: this.#user !== null,
    }
  }

  #auth(outcome: AuthOutcome): MaybePromise<void> {
    this.#exchange = null
    if ('reply' in outcome) return this.#answer('AUTH', outcome.reply)
    if ('exchange' in outcome) {
      this.#exchange = outcome.exchange
      return this.#say(`334 ${outcome.challenge}\r\n`)
    }
    return this.#deps.users.logIn(this.facts.remote.ip, outcome.credentials).then((login) => {
      if (typeof login === 'string') {
        this.#record.violate(`login-${login}`)
        return this.#answer('AUTH', limit.notLoggedIn(login))
      }
      this.#user = login.user
      this.facts = { ...this.facts, authUser: login.user.name, mayRelay: true }
      this.#answer('AUTH', replyOf(235, '2.7.0', 'Logged in'))
    })
  }

  #starttls(argument: string): void {
    const { mayStartTls, tls } = this.#connection
    const { isExtended } = this.facts
    const answer = starttls({ isOffered: mayStartTls, isSecured: tls !== null, isExtended }, argument)
    this.#answer('STARTTLS', answer)
    if (isRefusal(answer)) return
    this.#endWithoutMessage('reset')
    this.isStartingTls = true
  }

  /** What was said in the clear is forgotten, but for who the remote is (RFC 3207 §4.2). */
  secured(tls: Tls): void {
    this.isStartingTls = false
    this.facts = { ...this.facts, tls, helo: null, isExtended: false }
    this.#start.forgetGreeting()
  }

  #rset(argument: string): void {
    const answer = rset(argument)
    if (!isRefusal(answer)) this.#endWithoutMessage('reset')
    this.#answer('RSET', answer)
  }

  #endWithoutMessage(outcome: 'reset' | 'aborted'): void {
    const transaction = this.transaction
    if (transaction === null) return
    if (this.#receiver !== null) {
      this.#dropMessage(this.#receiver)
      return this.#end(endingOf({ outcome }))
    }
    this.#end(endingWithoutMessage(transaction, endingOf({ outcome, stage: stageOf(transaction) })))
  }

  #end(ending: Ending): void {
    this.#log(this.transaction!, ending)
    this.transaction = null
  }

  /** Not waited for: only an acceptance must be durable before it is answered. */
  #log(transaction: Transaction, ending: Ending): void {
    const { eventLog, clock, onFault } = this.#deps
    this.unloggedCount += 1
    this.logged = eventLog
      .append(transactionEnded(transaction, ending, clock.nowMs()))
      .catch((error: Error) => onFault(error, 'A refused transaction could not be logged'))
      .finally(() => (this.unloggedCount -= 1))
  }
}

/** Replies to what no working client sends; those of policy and rules are none of its mistakes. */
const mistakes = new Set([500, 501, 502, 503, 504, 530, 535, 538, 553, 555])

function refusingVerdict(verdict: Verdict | null): Verdict | null {
  return verdict !== null && verdict.reply !== null ? verdict : null
}

function stageOf(transaction: Transaction): Stage {
  return transaction.recipients.length > 0 ? 'rcpt' : 'mail'
}
