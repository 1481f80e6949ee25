/**
 * Queue and quarantine of the gateway on this machine, by its control socket.
 *
 * Leaves  what a gateway on another machine holds to a command there.
 * Fails   WorldFailure where no gateway runs on the data folder, and where it cannot do it now; UsageError for an id
 *         that it does not know.
 */
import { userInfo } from 'node:os'
import {
  controlPrefix,
  maxControlPage,
  type ControlError,
  type HeldMessage,
  type HeldMessageView,
  type QuarantineList,
  type QueuedMessage,
  type QueueList,
  type ReleaseReport,
} from '../contracts/control.ts'
import { isTransactionId } from '../contracts/transaction-id.ts'
import type { Config } from '../kit/config.ts'
import { askSocket, gatewaySocketPath, SocketUnanswered, type SocketQuestion } from '../kit/socket-request.ts'
import { visibleText } from '../kit/visible-text.ts'
import { wantedConfig } from './command-database.ts'
import { UsageError, WorldFailure } from './outcome.ts'
import { textTable } from './text-table.ts'

export type GatewayOptions = { format: 'table' | 'json'; isDemo: boolean }
type Filters = Record<string, string | undefined>

export function gatewayWork(configured: Config, { format, isDemo }: GatewayOptions) {
  const config = wantedConfig(configured, isDemo)
  const by = `command:${userInfo().username}`
  const ask = <Answer>(question: SocketQuestion) => askGateway<Answer>(config.data, question)
  const print = (answer: unknown, sentence: string): void =>
    void process.stdout.write(`${format === 'json' ? JSON.stringify(answer) : visibleText(sentence)}\n`)

  /** Page after page as it is printed, so that a long list costs no memory. */
  async function list<Row>(part: string, limit: number, filters: Filters, head: string[], widths: number[], cells: (row: Row) => string[]): Promise<void> {
    let cursor: string | null = null
    let count = 0
    do {
      const query = new URLSearchParams({ limit: String(Math.min(maxControlPage, limit - count)), ...(cursor === null ? {} : { cursor }) })
      for (const [name, value] of Object.entries(filters)) if (value !== undefined) query.set(name, value)
      const page: { messages: Row[]; nextCursor: string | null } = await ask({ method: 'GET', path: `/${part}?${query}` })
      if (format === 'json') for (const row of page.messages) process.stdout.write(`${JSON.stringify(row)}\n`)
      else if (page.messages.length > 0) process.stdout.write(textTable(count === 0 ? head : null, page.messages.map(cells), widths))
      count += page.messages.length
      cursor = page.nextCursor
    } while (cursor !== null && count < limit)
    if (format === 'table') process.stderr.write(cursor === null ? `${count} messages\n` : `The newest ${count}; more with --limit\n`)
  }

  return {
    listQueue: (limit: number) =>
      list<QueueList['messages'][number]>('queue', limit, {}, ['id', 'accepted', 'status', 'sender', 'to', 'tries', 'last error'], [36, 24, 8, 28, 28, 5, 60], queueCells),

    async retry(id: string) {
      print(await ask({ method: 'POST', path: `/queue/${known(id)}/retry`, body: { by } }), `${id} is tried now.`)
    },

    async deleteQueued(id: string, isConfirmed: boolean) {
      known(id)
      if (!isConfirmed) throw new UsageError(`What waits of ${id} would be given up for good, and its recipients count as failed. Add --yes to do it.`)
      print(await ask({ method: 'DELETE', path: `/queue/${id}`, body: { by } }), `${id} is deleted from the queue.`)
    },

    listQuarantine: (limit: number, filters: Filters) =>
      list<QuarantineList['messages'][number]>('quarantine', limit, filters, ['id', 'held', 'reason', 'sender', 'to', 'subject'], [36, 24, 20, 28, 28, 50], heldCells),

    async showHeld(id: string) {
      const view = await ask<HeldMessageView>({ method: 'GET', path: `/quarantine/${known(id)}` })
      process.stdout.write(format === 'json' ? `${JSON.stringify(view)}\n` : viewText(view))
    },

    async release(id: string, recipients: readonly string[]) {
      const body = recipients.length === 0 ? { by } : { by, recipients }
      const report = await ask<ReleaseReport>({ method: 'POST', path: `/quarantine/${known(id)}/release`, body })
      print(report, `${id} is released to ${report.recipients.join(', ')}.`)
    },

    async deleteHeld(id: string, isConfirmed: boolean) {
      known(id)
      if (!isConfirmed) throw new UsageError(`${id} would be deleted for good, and nobody gets it. Add --yes to do it.`)
      print(await ask({ method: 'DELETE', path: `/quarantine/${id}`, body: { by } }), `${id} is deleted.`)
    },
  }
}

async function askGateway<Answer>(dataFolder: string, question: SocketQuestion): Promise<Answer> {
  const socketPath = gatewaySocketPath(dataFolder)
  try {
    const { status, body } = await askSocket(socketPath, { ...question, path: `${controlPrefix}${question.path}` })
    if (status === 200) return body as Answer
    const { code, message } = (body as ControlError).error
    if (code === 'not-found' || code === 'bad-request') throw new UsageError(`${message}.`)
    throw new WorldFailure(`${message}.`)
  } catch (error) {
    if (!(error instanceof SocketUnanswered)) throw error
    throw new WorldFailure(`No gateway runs on ${dataFolder}: start it with \`tollgate up\` or \`tollgate gateway\`, or name its folder with data (or TOLLGATE_DATA).`, { cause: error })
  }
}

function known(id: string): string {
  if (isTransactionId(id)) return id
  throw new UsageError(`"${visibleText(id)}" is no id of a message: they look like 0196a5c2-7d3e-7c41-9f00-5b1e2a3c4d5e, as the lists show them.`)
}

function queueCells(row: QueuedMessage): string[] {
  const [first] = row.recipients
  return [row.queueId, row.acceptedAt, row.status, senderText(row.sender), others(first?.address, row.recipientCount), String(row.attemptCount), first?.lastError ?? '']
}

function heldCells(row: HeldMessage): string[] {
  const [first] = row.recipients
  return [row.queueId, row.heldAt, first?.ruleId ?? first?.reason ?? '', senderText(row.sender), others(first?.address, row.recipientCount), row.subject ?? '']
}

function senderText(sender: string): string {
  return sender === '' ? '<>' : sender
}

function others(first: string | undefined, count: number): string {
  return count > 1 ? `${first ?? ''} +${count - 1}` : (first ?? '')
}

/** Its texts came with escapes in place of what would act on the terminal. */
function viewText(view: HeldMessageView): string {
  const lines = [
    `${view.queueId}  ${view.sizeBytes} octets, held since ${view.heldAt}${view.expiresAt === null ? '' : `, deleted at ${view.expiresAt}`}`,
    `from ${senderText(view.sender)}`,
    ...view.recipients.map(({ address, reason, ruleId }) => `to ${address}: ${ruleId === null ? reason : `rule ${ruleId}`}`),
    '',
    ...view.headers.map(({ name, value }) => `${name}: ${value}`),
    ...(view.areHeadersCut ? ['(headers are cut)'] : []),
    '',
    ...(view.text === null ? ['(no text)'] : view.text.split('\n')),
    ...(view.isTextCut ? ['(the text is cut)'] : []),
    ...view.attachments.map(({ name, type, sizeBytes }) => `attachment: ${name ?? '(no name)'}, ${type}, ${sizeBytes} octets`),
  ]
  return lines.map((line) => `${visibleText(line)}\n`).join('')
}
