/**
 * A session without socket, disk and network, for tests of the gateway: a spool and an event log in memory whose
 * steps a test can hold or let fail, a clock that stands still, and a client that speaks to the session.
 */
import type { EventBody, SessionClosed, TransactionEnded } from '../services/contracts/event.ts'
import { Config } from '../services/kit/config.ts'
import { readYaml } from '../services/kit/read-yaml.ts'
import { noChecks, type Checks } from '../services/gateway/checks/checks-contract.ts'
import { limitsOf, type Limits } from '../services/gateway/limits.ts'
import type { EventLog } from '../services/gateway/log/event-log-contract.ts'
import { noPlugins } from '../services/gateway/plugins/plugin-contract.ts'
import { directoryOf, emptyDirectory } from '../services/gateway/policy/directory.ts'
import type { Policy } from '../services/gateway/policy/policy.ts'
import { policyOf } from '../services/gateway/policy/policy-source.ts'
import { noRules } from '../services/gateway/policy/load-rules.ts'
import { DuplicateIndex } from '../services/gateway/session/duplicate-index.ts'
import { createIds } from '../services/gateway/session/ids.ts'
import { Session, type SessionDeps } from '../services/gateway/session/session.ts'
import { SubmissionUsers } from '../services/gateway/submission/submission-users.ts'
import type { Connection } from '../services/gateway/session/connection.ts'
import type { Envelope, Spool, SpooledMessage } from '../services/gateway/spool/spool-contract.ts'
import { compileRuleset } from '../services/rules/compile-ruleset.ts'
import { parseRuleset } from '../services/rules/parse-ruleset.ts'
import type { DirectoryClient } from '../services/contracts/directory.ts'

export type Spooled = {
  queueId: string
  octets: Buffer
  envelope: Envelope | null
  state: 'open' | 'committed' | 'released' | 'aborted'
}

/** What happened, in order: `commit`, `append`, `release`, `reply 250 …`. */
export type Journal = string[]

export class MemorySpool implements Spool {
  readonly messages: Spooled[] = []
  /** Replaced by a test that holds or breaks the disk. */
  onCommit: () => Promise<void> = async () => {}
  onWrite: () => void | Promise<void> = () => {}
  readonly #journal: Journal

  constructor(journal: Journal = []) {
    this.#journal = journal
  }

  begin(queueId: string): SpooledMessage {
    const message: Spooled = { queueId, octets: Buffer.alloc(0), envelope: null, state: 'open' }
    this.messages.push(message)
    return {
      write: (chunk) => {
        message.octets = Buffer.concat([message.octets, chunk])
        return this.onWrite()
      },
      async *octets() {
        yield message.octets
      },
      commit: async (envelope) => {
        this.#journal.push('commit')
        await this.onCommit()
        message.envelope = envelope
        message.state = 'committed'
        this.#journal.push('committed')
      },
      release: () => {
        message.state = 'released'
        this.#journal.push('release')
      },
      abort: () => {
        message.state = 'aborted'
      },
    }
  }

  get released(): Spooled[] {
    return this.messages.filter(({ state }) => state === 'released')
  }
}

export class MemoryLog implements EventLog {
  /** Durable ones only. */
  readonly events: EventBody[] = []
  onAppend: (body: EventBody) => Promise<void> = async () => {}
  readonly #journal: Journal

  constructor(journal: Journal = []) {
    this.#journal = journal
  }

  async append(body: EventBody): Promise<void> {
    const copy = structuredClone(body)
    this.#journal.push(`append ${body.kind}`)
    await this.onAppend(body)
    this.events.push(copy)
    this.#journal.push(`appended ${body.kind}`)
  }

  get transactions(): EventBody<TransactionEnded>[] {
    return this.events.filter((event) => event.kind === 'transaction.ended')
  }

  get sessions(): EventBody<SessionClosed>[] {
    return this.events.filter((event) => event.kind === 'session.closed')
  }
}

export function configOf(yaml: string): Config {
  const { value, faults } = readYaml(Config, yaml, 'test')
  if (faults.length > 0) throw new Error(JSON.stringify(faults))
  return value
}

export const acme: DirectoryClient = { id: 'acme', name: 'Acme', addresses: ['a@example.com', 'b@example.com'] }

export type HarnessOptions = {
  config?: string
  rules?: string
  clients?: readonly DirectoryClient[] | null
  limits?: Partial<Limits>
  remoteIp?: string
  checks?: Checks
}

/** Nothing shared: one session with everything that it needs. */
export class Harness {
  readonly journal: Journal = []
  readonly spool = new MemorySpool(this.journal)
  readonly log = new MemoryLog(this.journal)
  readonly duplicates = new DuplicateIndex()
  readonly faults: string[] = []
  nowMs = Date.UTC(2026, 10, 24, 12)
  policy: Policy
  readonly deps: SessionDeps

  constructor(options: HarnessOptions = {}) {
    const config = configOf(options.config ?? 'recipients: {domains: [example.com]}')
    const directory =
      options.clients === null
        ? emptyDirectory('unavailable')
        : directoryOf(options.clients ?? [acme], config.recipients)
    let rules = noRules()
    if (options.rules !== undefined) {
      const parsed = parseRuleset(options.rules, 'rules.yaml')
      if ('faults' in parsed) throw new Error(JSON.stringify(parsed.faults))
      rules = compileRuleset(parsed.ruleset)
    }
    this.policy = policyOf(config, rules, directory)
    this.deps = {
      clock: { nowMs: () => this.nowMs, monotonicUs: () => 0 },
      policy: () => this.policy,
      checks: options.checks ?? noChecks,
      plugins: noPlugins,
      users: new SubmissionUsers(null, { nowMs: () => this.nowMs }),
      spool: this.spool,
      eventLog: this.log,
      limits: { ...limitsOf(config), ...options.limits },
      hostname: 'mx.test',
      ids: createIds(),
      duplicates: this.duplicates,
      onFault: (error, what) => this.faults.push(`${what}: ${error.message}`),
    }
  }

  connect(remoteIp = '203.0.113.9', kind: Partial<Pick<Connection, 'isSubmission' | 'tls'>> = {}): Client {
    return new Client(this.deps, this.journal, remoteIp, kind)
  }
}

export class Client {
  readonly session: Session
  /** Everything that the session said. */
  said = ''
  /** Pieces in which it was written. */
  readonly writes: string[] = []
  isClosed = false
  isPaused = false
  /** Set to make handing over fail from now on. */
  writeFailure: Error | null = null
  #read = 0
  #close!: () => void

  constructor(
    deps: SessionDeps,
    journal: Journal,
    remoteIp: string,
    kind: Partial<Pick<Connection, 'isSubmission' | 'tls'>> = {},
  ) {
    const over = new Promise<{ isBroken: boolean }>((resolve) => {
      this.#close = () => resolve({ isBroken: this.writeFailure !== null })
    })
    const connection: Connection = {
      remoteIp,
      remotePort: 40_000,
      listener: '192.0.2.1:25',
      isSubmission: false,
      write: (text, done) => {
        if (this.writeFailure !== null) return done(this.writeFailure)
        journal.push(`reply ${text.slice(0, 3)}`)
        this.said += text
        this.writes.push(text)
        done()
      },
      tls: null,
      mayStartTls: false,
      startTls: async () => null,
      drained: () => null,
      pause: () => void (this.isPaused = true),
      resume: () => void (this.isPaused = false),
      ...kind,
      close: () => {
        this.isClosed = true
        this.#close()
        return over
      },
    }
    this.session = new Session(deps, connection)
    this.session.open()
  }

  /** Sends octets as they are and returns what was answered to them. */
  async send(octets: string | Buffer): Promise<string> {
    this.session.receive(typeof octets === 'string' ? Buffer.from(octets, 'latin1') : octets)
    await this.session.settled()
    return this.read()
  }

  /** One command. */
  line(command: string): Promise<string> {
    return this.send(`${command}\r\n`)
  }

  read(): string {
    const text = this.said.slice(this.#read)
    this.#read = this.said.length
    return text
  }

  /** A whole message from EHLO to the reply behind its end. */
  async deliver(
    message: string,
    recipients: readonly string[] = ['a@example.com'],
    sender = 's@remote.example',
  ): Promise<string> {
    await this.line('EHLO client.example')
    await this.line(`MAIL FROM:<${sender}>`)
    for (const recipient of recipients) await this.line(`RCPT TO:<${recipient}>`)
    await this.line('DATA')
    return this.send(`${message}\r\n.\r\n`)
  }

  async hangUp(): Promise<void> {
    this.session.remoteEnded()
    await this.session.closed
  }
}

/** A promise that a test settles. */
export function held<Value = void>(): {
  promise: Promise<Value>
  resolve: (value: Value) => void
  reject: (error: Error) => void
} {
  let resolve!: (value: Value) => void
  let reject!: (error: Error) => void
  const promise = new Promise<Value>((onResolve, onReject) => {
    resolve = onResolve
    reject = onReject
  })
  return { promise, resolve, reject }
}
