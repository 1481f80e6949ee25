/**
 * Keeps erased addresses away when the log tells of them again: an old segment, a copy, another node.
 *
 * Owns    the same removal in an event that the functions of migrations/0013_erasure.sql make in a stored one.
 * Why     only what happened before the erasure is changed: mail that comes later is new, and the address may have been
 *         given to somebody else. The lock is held to the end of the batch: an erasure that begins waits for it, and
 *         then finds its rows.
 */
import type pg from 'pg'
import type { TollgateEvent, TransactionEnded } from '../contracts/event.ts'
import { wholeLine, type KeptLine, type RejectedLine } from './decode-line.ts'
import type { RecipientIds } from './recipient-id.ts'

/** By address key; `null`: nobody was erased. */
export type ErasedAddresses = Map<string, { replacement: string; erasedAt: string }> | null

export async function erasedAddresses(client: pg.PoolClient, tenantId: string): Promise<ErasedAddresses> {
  await client.query(`select pg_advisory_xact_lock_shared(hashtext('tollgate erasure'), hashtext($1))`, [tenantId])
  const { rows } = await client.query<{ address_key: string; replacement: string; erased_at: Date }>(
    'select address_key, replacement, erased_at from erased_address where tenant_id = $1',
    [tenantId],
  )
  if (rows.length === 0) return null
  return new Map(rows.map((row) => [row.address_key, { replacement: row.replacement, erasedAt: row.erased_at.toISOString() }]))
}

export type CleanedLines = {
  lines: KeptLine[]
  rejected: RejectedLine[]
  /** Recipients stay who they were: their ids come from the address that is gone. */
  recipientIds: RecipientIds
  isChanged: boolean
}

export function withoutErased(
  lines: readonly KeptLine[],
  rejected: readonly RejectedLine[],
  erased: NonNullable<ErasedAddresses>,
  recipientIds: RecipientIds,
): CleanedLines {
  const originals = new Map<string, string>()
  const replacementOf = (address: string, at: string | null): string | null => {
    const found = erased.get(recipientIds(address.toLowerCase()))
    if (found === undefined || (at !== null && at > found.erasedAt)) return null
    return found.replacement
  }
  const newest = [...erased.values()].reduce((time, { erasedAt }) => (erasedAt > time ? erasedAt : time), '')
  let isChanged = false
  const cleaned = lines.map((line) => {
    if (line.event.at > newest) return line
    const before = wholeLine(line).event
    const clean = cleanEvent(before, (address) => replacementOf(address, before.at))
    if (clean === before) return line
    isChanged = true
    if (before.kind === 'transaction.ended') rememberIds(before, clean as TransactionEnded, originals, recipientIds)
    const json = Buffer.from(JSON.stringify(clean))
    const head = line.event.kind === clean.kind && 'content' in line.event ? clean : line.event
    return { ...line, event: head, json } as KeptLine
  })
  const cleanRejected = rejected.map((line) => {
    const text = line.line.toString('latin1')
    const found = addressesIn(Buffer.from(text, 'latin1').toString()).find((address) => replacementOf(address, null) !== null)
    if (found === undefined) return line
    const replacement = replacementOf(found, null)!
    return { ...line, line: Buffer.from(replacement), detail: replaced(line.detail, (address) => replacementOf(address, null)) }
  })
  const known = idsOfReplacements(erased)
  return { lines: cleaned, rejected: cleanRejected, recipientIds: (address) => originals.get(address) ?? known.get(address) ?? recipientIds(address), isChanged }
}

/** A line that waited while its address was erased has only the replacement, which begins with the id. */
function idsOfReplacements(erased: NonNullable<ErasedAddresses>): ReadonlyMap<string, string> {
  const ids = new Map<string, string>()
  for (const [id, { replacement }] of erased) {
    if (replacement.startsWith(`erased-${id.replaceAll('-', '').slice(0, 12)}`)) ids.set(replacement, id)
  }
  return ids
}

/** A line that waits for others, without the addresses that were erased since it was written. */
export function textWithoutErased(text: string, atMs: number, erased: NonNullable<ErasedAddresses>, recipientIds: RecipientIds): string {
  if (!text.includes('@')) return text
  const at = new Date(atMs).toISOString()
  return replaced(text, (address) => {
    const found = erased.get(recipientIds(address.toLowerCase()))
    return found === undefined || at > found.erasedAt ? null : found.replacement
  })
}

function rememberIds(before: TransactionEnded, clean: TransactionEnded, originals: Map<string, string>, recipientIds: RecipientIds): void {
  for (const [position, { normalized }] of clean.recipients.entries()) {
    const original = before.recipients[position]!.normalized
    if (normalized !== original) originals.set(normalized, recipientIds(original))
  }
}

type Replacement = (address: string) => string | null

/** The event itself where it names nobody who was erased. */
function cleanEvent(event: TollgateEvent, replacement: Replacement): TollgateEvent {
  if (!addressesIn(JSON.stringify(event)).some((address) => replacement(address) !== null)) return event
  const named = 'recipients' in event ? (event.recipients as { address: string; normalized?: string }[]) : []
  const parties = [...named.flatMap(({ address, normalized }) => [address, normalized ?? address]), 'sender' in event ? event.sender : null]
  const isParty = parties.some((address) => address !== null && address !== '' && replacement(address) !== null)
  if (event.kind !== 'transaction.ended') return cleanValue(event, replacement, isParty) as TollgateEvent
  const shown = (value: string): string | null => addressesIn(value).map(replacement).find((found) => found !== null) ?? null
  const emptied: TransactionEnded = isParty
    ? { ...event, subject: null, headers: [], attachments: event.attachments.map((attachment) => ({ ...attachment, name: null })) }
    : { ...event, headers: event.headers.map((header) => ({ ...header, value: shown(header.value) ?? header.value })) }
  return cleanValue(emptied, replacement, isParty) as TollgateEvent
}

const quotingFields = new Set(['matchedText', 'detail'])

function cleanValue(value: unknown, replacement: Replacement, isParty: boolean): unknown {
  if (typeof value === 'string') return replaced(value, replacement)
  if (Array.isArray(value)) return value.map((item) => cleanValue(item, replacement, isParty))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, held]) => [key, isParty && quotingFields.has(key) ? null : cleanValue(held, replacement, isParty)]),
  )
}

const addressPattern = /[A-Za-z0-9.!#$%&'*+/=?^_`{|}~\u0080-\uffff-]+@[A-Za-z0-9\u0080-\uffff](?:[A-Za-z0-9.\u0080-\uffff-]*[A-Za-z0-9\u0080-\uffff])?/g

function addressesIn(text: string): string[] {
  return text.includes('@') ? (text.match(addressPattern) ?? []) : []
}

function replaced(text: string, replacement: Replacement): string {
  if (!text.includes('@')) return text
  // One with blanks or quotes in its local part stands alone in its field.
  const whole = text.includes('"') ? replacement(text) : null
  return whole ?? text.replace(addressPattern, (address) => replacement(address) ?? address)
}
