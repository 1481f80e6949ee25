/** One mail transaction while it is open: all that is known of it between MAIL and its end. */
import type {
  Attachment,
  CheckResult,
  Evaluation,
  LoggedHeader,
  LoggedRecipient,
  Remote,
  Tls,
  TransactionEnded,
} from '../../contracts/event.ts'
import type { ReturnRequest } from '../verbs/dsn-parameters.ts'
import type { Progress } from '../../rules/evaluate-stage.ts'
import type { Policy } from '../policy/policy.ts'
import type { EnvelopeRecipient } from '../spool/spool-contract.ts'

/** What is known of the session when a transaction begins. */
export type SessionFacts = {
  sessionId: string
  listener: string | null
  remote: Remote
  helo: string | null
  isExtended: boolean
  tls: Tls | null
  authUser: string | null
  mayRelay: boolean
}

export type Timings = TransactionEnded['timings']

export type Transaction = {
  id: string
  startedAtMs: number
  facts: SessionFacts
  /** The snapshot in force when it began: it is judged by one policy throughout. */
  policy: Policy
  sender: string | null
  declaredSizeBytes: number | null
  is8BitMime: boolean
  isSmtpUtf8: boolean
  /** What of it is to come back, where the sender said so. */
  dsn: ReturnRequest | null
  recipients: LoggedRecipient[]
  /** What delivery needs of the accepted ones, redirections and copies applied. */
  deliveries: Delivery[]
  recipientOctets: number
  commandBytes: number
  evaluations: Evaluation[]
  checks: CheckResult[]
  plugins: CheckResult[]
  progress: Progress
  /** The rules of `header` have run. */
  isHeaderJudged: boolean
  timings: Timings
  message: MessageFacts
}

/** One accepted recipient as it is delivered, and the copies that rules asked for because of it. */
export type Delivery = {
  /** As the sender named it. */
  named: LoggedRecipient
  recipient: EnvelopeRecipient
  copies: EnvelopeRecipient[]
  disposition: 'deliver' | 'discard' | 'quarantine'
}

export type MessageFacts = {
  headers: LoggedHeader[]
  subject: string | null
  messageId: string | null
  attachments: readonly Attachment[]
  messageBytes: number | null
  dataBytes: number
  digest: string | null
  truncated: string[]
}

export function noTimings(): Timings {
  return {
    connectUs: null,
    heloUs: null,
    mailUs: null,
    rcptUs: null,
    headerUs: null,
    completeUs: null,
    spoolUs: null,
  }
}

export function noMessage(): MessageFacts {
  return {
    headers: [],
    subject: null,
    messageId: null,
    attachments: [],
    messageBytes: null,
    dataBytes: 0,
    digest: null,
    truncated: [],
  }
}

export function acceptedRecipients(transaction: Transaction): LoggedRecipient[] {
  return transaction.recipients.filter(({ outcome }) => outcome !== 'refused' && outcome !== 'deferred')
}
