/**
 * The place after the last row of a page: opaque to the client.
 *
 * Why  it carries the time at which the first page was asked for, so that `after:-7d` means the same on every page.
 *      The id holds its own time, so nothing else is needed, and rows that arrive later are newer: pages neither
 *      repeat nor skip.
 */
import { isTransactionId, timeMsOfTransactionId } from '../../contracts/transaction-id.ts'

export type TraceCursor = { transactionId: string; idTimeMs: number; nowMs: number }

export function cursorText(transactionId: string, nowMs: number): string {
  return Buffer.from(`1 ${transactionId} ${nowMs}`).toString('base64url')
}

/** `null` for a text that `cursorText` never gave. */
export function parseCursor(text: string): TraceCursor | null {
  const match = /^1 ([0-9a-f-]{36}) (\d{1,15})$/.exec(Buffer.from(text, 'base64url').toString('latin1'))
  if (match === null || !isTransactionId(match[1]!)) return null
  return { transactionId: match[1]!, idTimeMs: timeMsOfTransactionId(match[1]!), nowMs: Number(match[2]) }
}
