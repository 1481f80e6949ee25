/** A report to a sender with an id of its own, and what of the message it gives back read from the spool. */
import { randomBytes } from 'node:crypto'
import { open } from 'node:fs/promises'
import type { Logger } from 'pino'
import { transactionIdOf } from '../../contracts/transaction-id.ts'
import type { MessageStore, StoredMessage } from '../spool/message-store.ts'
import type { Envelope } from '../spool/spool-contract.ts'
import { deliveryReport, type ReportedRecipient } from './delivery-report.ts'

/** Of a large message: its header section at most. */
const returnedBytes = 64 * 1024

/** Where the spool cannot be read the report goes out without: the sender must be told all the same. */
export async function composeReport(
  store: MessageStore,
  message: StoredMessage,
  reported: readonly ReportedRecipient[],
  { hostname, nowMs, log }: { hostname: string; nowMs: number; log: Logger },
): Promise<{ envelope: Envelope; octets: Buffer }> {
  let original: Buffer = Buffer.alloc(0)
  try {
    const content = await store.octetsOf(message)
    original = 'octets' in content ? content.octets : await firstOctets(content.path)
  } catch (error) {
    log.error({ err: error, queueId: message.queueId }, 'A report goes out without the headers of its message: they cannot be read')
  }
  return deliveryReport(message, reported, original, { reportId: transactionIdOf(nowMs, randomBytes(10)), hostname, nowMs })
}

async function firstOctets(path: string): Promise<Buffer> {
  const file = await open(path)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(returnedBytes), 0, returnedBytes, 0)
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}
