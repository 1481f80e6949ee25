/**
 * A trace query as conditions on a row `mail_transaction t`.
 *
 * Owns    what each term means in SQL.
 * Leaves  how conditions are put together into a query that an index can answer to trace-select.ts.
 * Why     values are bound, never written into the text: every fragment is Kysely's `sql`, which knows no other way.
 */
import { sql, type RawBuilder } from 'kysely'
import type { TextPattern, TraceQuery, TraceTerm } from '../../contracts/trace-query.ts'
import { timeMsOfPoint, type TraceClock } from '../../contracts/trace-time.ts'
import { isTransactionId, timeMsOfTransactionId } from '../../contracts/transaction-id.ts'
import { addressCondition, contains, domainForms, equalsAny, likeText, starsToLike } from './address-condition.ts'
import { hasCondition } from './has-condition.ts'
import { hasEntryOf, hasUnmeteredRecipientOf, isInScope, ownHit, type TraceScope } from './trace-scope.ts'

export type TraceCondition =
  /** `isSelective`: an index finds the rows, so a search may start from it. */
  | { kind: 'test'; test: RawBuilder<boolean>; isSelective: boolean }
  | { kind: 'and' | 'or'; parts: TraceCondition[] }
  | { kind: 'not'; part: TraceCondition }

export type TraceTerms = {
  /** Nothing in the query finds fewer rows than its `has:`. */
  startsFromHas: boolean
  tenantId: string
  scope: TraceScope
  clock: TraceClock
  lowersLocalPart: boolean
  /** Bounds of id_time, repeated on joined tables so that their partitions are pruned too. */
  fromMs: number | null
  uptoMs: number | null
}

export function conditionOf(query: TraceQuery, terms: TraceTerms): TraceCondition {
  switch (query.kind) {
    case 'everything':
      return { kind: 'and', parts: [] }
    case 'and':
    case 'or':
      return { kind: query.kind, parts: query.parts.map((part) => conditionOf(part, terms)) }
    case 'not':
      return { kind: 'not', part: conditionOf(query.part, terms) }
    default:
      return termCondition(query, terms)
  }
}

export function conditionSql(condition: TraceCondition): RawBuilder<boolean> {
  switch (condition.kind) {
    case 'test':
      return condition.test
    case 'not':
      // An unknown value is not what was excluded: null counts as false.
      return sql<boolean>`(${conditionSql(condition.part)}) is not true`
    case 'and':
      if (condition.parts.length === 0) return sql<boolean>`true`
      return sql<boolean>`(${sql.join(condition.parts.map(conditionSql), sql` and `)})`
    case 'or':
      return sql<boolean>`(${sql.join(condition.parts.map(conditionSql), sql` or `)})`
  }
}

const filter = (test: RawBuilder<boolean>): TraceCondition => ({ kind: 'test', test, isSelective: false })
const indexed = (test: RawBuilder<boolean>): TraceCondition => ({ kind: 'test', test, isSelective: true })
const anyOf = (...parts: TraceCondition[]): TraceCondition => ({ kind: 'or', parts })

function termCondition(term: TraceTerm, terms: TraceTerms): TraceCondition {
  switch (term.kind) {
    case 'word':
      return wordCondition(term.pattern, terms)
    case 'pattern':
      return patternCondition(term.key, term.pattern, terms)
    case 'id':
      return idCondition(term.id)
    case 'ip':
      return indexed(
        term.network.includes('/')
          ? sql<boolean>`t.remote_ip <<= ${term.network}::inet`
          : sql<boolean>`t.remote_ip = ${term.network}::inet`,
      )
    case 'words':
      return wordsCondition(term.key, term.words, terms)
    case 'range': {
      const column =
        term.key === 'weight' ? sql<number>`t.weight_milli` : sql<number>`coalesce(t.message_bytes, t.declared_bytes)`
      const ends = [
        ...(term.least === null ? [] : [filter(sql<boolean>`${column} >= ${term.least}`)]),
        ...(term.most === null ? [] : [filter(sql<boolean>`${column} <= ${term.most}`)]),
      ]
      return { kind: 'and', parts: ends }
    }
    case 'time': {
      const time = new Date(timeMsOfPoint(term.point, terms.clock))
      return filter(term.key === 'after' ? sql<boolean>`t.ended_at >= ${time}` : sql<boolean>`t.ended_at < ${time}`)
    }
  }
}

export function idCondition(id: string): TraceCondition {
  return indexed(sql<boolean>`(t.transaction_id = ${id} and t.id_time = ${new Date(timeMsOfTransactionId(id))})`)
}

/** A free word: anywhere in addresses and subject; an id or a Message-ID exactly. */
function wordCondition(pattern: TextPattern, terms: TraceTerms): TraceCondition {
  const { text, isQuoted } = pattern
  if (isTransactionId(text.toLowerCase())) return idCondition(text.toLowerCase())
  const like = isQuoted ? `%${likeText(text)}%` : `%${starsToLike(text)}%`
  return anyOf(
    indexed(sql<boolean>`lower(t.sender) ilike ${like}`),
    indexed(recipientExists(sql<boolean>`r.address ilike ${like}`, terms)),
    indexed(sql<boolean>`t.subject ilike ${like}`),
    indexed(equalsAny(sql`t.message_id`, messageIdForms(text))),
  )
}

function patternCondition(
  key: Extract<TraceTerm, { kind: 'pattern' }>['key'],
  pattern: TextPattern,
  terms: TraceTerms,
): TraceCondition {
  const hasStar = !pattern.isQuoted && pattern.text.includes('*')
  switch (key) {
    case 'from':
      return indexed(
        addressCondition(pattern, {
          address: sql`lower(t.sender)`,
          domain: sql`t.sender_domain`,
          lowersLocalPart: true,
        }),
      )
    case 'to': {
      const columns = {
        address: sql<string>`r.address`,
        domain: sql<string>`r.domain`,
        lowersLocalPart: terms.lowersLocalPart,
      }
      return indexed(recipientExists(addressCondition(pattern, columns), terms))
    }
    case 'subject':
      return indexed(
        hasStar
          ? sql<boolean>`t.subject ilike ${`%${starsToLike(pattern.text)}%`}`
          : contains(sql`t.subject`, pattern.text),
      )
    case 'msgid':
      if (!hasStar) return indexed(equalsAny(sql`t.message_id`, messageIdForms(pattern.text)))
      return messageIdPatternCondition(pattern.text)
    case 'helo':
      return (hasStar ? filter : indexed)(nameTest(sql`t.helo`, pattern, hasStar))
    case 'hop':
      return (hasStar ? filter : indexed)(hopExists(pattern, hasStar, terms))
    case 'domain': {
      const test = (column: RawBuilder<string>) =>
        hasStar
          ? sql<boolean>`${column} like ${starsToLike(pattern.text.toLowerCase())}`
          : equalsAny(column, domainForms(pattern.text))
      const side = hasStar ? filter : indexed
      return anyOf(side(test(sql`t.sender_domain`)), side(recipientExists(test(sql`r.domain`), terms)))
    }
  }
}

/** One `like` for each form, not `like any`: only so does a beginning go by the index. */
function messageIdPatternCondition(text: string): TraceCondition {
  const side = text.startsWith('*') ? filter : indexed
  const forms = messageIdForms(starsToLike(text))
  return side(sql<boolean>`(${sql.join(forms.map((form) => sql<boolean>`t.message_id like ${form}`), sql` or `)})`)
}

/** With and without the angle brackets of RFC 5322: sources differ in what they log. */
function messageIdForms(text: string): string[] {
  const bare = text.replace(/^<(.*)>$/s, '$1')
  return [bare, `<${bare}>`]
}

function nameTest(column: RawBuilder<string>, pattern: TextPattern, hasStar: boolean): RawBuilder<boolean> {
  return hasStar
    ? sql<boolean>`${column} ilike ${starsToLike(pattern.text)}`
    : sql<boolean>`lower(${column}) = ${pattern.text.toLowerCase()}`
}

function wordsCondition(
  key: Extract<TraceTerm, { kind: 'words' }>['key'],
  words: string[],
  terms: TraceTerms,
): TraceCondition {
  switch (key) {
    case 'verdict':
      // A transaction ended by RSET is shown as aborted.
      return outcomeCondition(words.includes('aborted') ? [...words, 'reset'] : words)
    case 'stage':
      return filter(sql<boolean>`t.stage = any(${words}::text[])`)
    case 'reason':
      return anyOf(
        // What ended at RCPT ended for the reason of some recipient, perhaps somebody else's.
        indexed(
          sql<boolean>`(t.reason = any(${words}::text[])${terms.scope.clientId === null ? sql`` : sql` and t.stage <> 'rcpt'`})`,
        ),
        indexed(recipientExists(sql<boolean>`r.reason = any(${words}::text[])`, terms)),
      )
    case 'country':
      return indexed(sql<boolean>`t.remote_country = any(${words}::text[])`)
    case 'rule':
      return indexed(ruleExists(words, terms))
    case 'client':
      return payerCondition(words, terms.scope)
    case 'has':
      return anyOf(...words.map((word) => hasWordCondition(word, terms)))
  }
}

/** `has:` that an index answers. */
const rareHas: ReadonlySet<string> = new Set(['auth', 'duplicate', 'failed'])
/** Those of mail_transaction_by_rare_outcome: the others are most of the mail. */
const rareOutcomes: ReadonlySet<string> = new Set(['deferred', 'discarded', 'quarantined', 'aborted', 'reset'])

function hasWordCondition(word: string, terms: TraceTerms): TraceCondition {
  const within = terms.startsFromHas ? sql`q.tenant_id = ${terms.tenantId}${idTimeBounds(sql`q.id_time`, terms)}` : null
  // For a client, failed and queued are told by its own recipients: no index knows those.
  const isRare =
    word === 'queued' ? terms.startsFromHas && terms.scope.clientId === null : rareHas.has(word) && (terms.scope.clientId === null || word !== 'failed')
  return (isRare ? indexed : filter)(hasCondition(word, terms.scope, within))
}

function outcomeCondition(outcomes: string[]): TraceCondition {
  const side = outcomes.every((outcome) => rareOutcomes.has(outcome)) ? indexed : filter
  return side(sql<boolean>`t.outcome = any(${outcomes}::text[])`)
}

/** The scope as a condition; `null` for the whole tenant. */
export function scopeCondition(scope: TraceScope): TraceCondition | null {
  return scope.clientId === null ? null : anyOf(...payerParts(scope.clientId))
}

/** A client may ask for itself alone: that somebody else pays too is not told. */
function payerCondition(words: string[], scope: TraceScope): TraceCondition {
  const allowed = scope.clientId === null ? words : words.filter((word) => word === scope.clientId)
  if (allowed.length === 0) return filter(sql<boolean>`false`)
  return anyOf(...allowed.flatMap((word) => payerParts(word === 'house' ? null : word)))
}

function payerParts(clientId: string | null): TraceCondition[] {
  return [indexed(hasEntryOf(clientId)), indexed(hasUnmeteredRecipientOf(clientId))]
}

/** `test` is on a `transaction_recipient r`; recipients outside the scope do not count. */
function recipientExists(test: RawBuilder<boolean>, terms: TraceTerms): RawBuilder<boolean> {
  const own = terms.scope.clientId === null ? sql`` : sql` and ${isInScope(terms.scope)}`
  return sql<boolean>`exists (select from transaction_recipient r
    where r.tenant_id = t.tenant_id and r.transaction_id = t.transaction_id and r.id_time = t.id_time
      and ${test}${idTimeBounds(sql`r.id_time`, terms)}${own})`
}

function ruleExists(words: string[], terms: TraceTerms): RawBuilder<boolean> {
  const tests = words.map((word) =>
    word.includes('*') ? sql<boolean>`h.rule_id like ${starsToLike(word)}` : sql<boolean>`h.rule_id = ${word}`,
  )
  return sql<boolean>`exists (select from rule_hit h
    where h.tenant_id = t.tenant_id and h.transaction_id = t.transaction_id and h.id_time = t.id_time
      and (${sql.join(tests, sql` or `)})${idTimeBounds(sql`h.id_time`, terms)}${ownHit(terms.scope)})`
}

function hopExists(pattern: TextPattern, hasStar: boolean, terms: TraceTerms): RawBuilder<boolean> {
  const own =
    terms.scope.clientId === null
      ? sql``
      : sql` and exists (
    select from transaction_recipient r, jsonb_to_recordset(d.event->'recipients') as tried (address text)
    where r.tenant_id = d.tenant_id and r.transaction_id = d.transaction_id and r.id_time = d.id_time
      and lower(tried.address) = lower(r.address) and ${isInScope(terms.scope)})`
  return sql<boolean>`exists (select from delivery_attempt d
    where d.tenant_id = t.tenant_id and d.transaction_id = t.transaction_id and d.id_time = t.id_time
      and ${nameTest(sql`d.next_host`, pattern, hasStar)}${idTimeBounds(sql`d.id_time`, terms)}${own})`
}

/** ` and …` for the bounds that there are. */
export function idTimeBounds(
  column: RawBuilder<unknown>,
  { fromMs, uptoMs }: Pick<TraceTerms, 'fromMs' | 'uptoMs'>,
): RawBuilder<unknown> {
  const from = fromMs === null ? sql`` : sql` and ${column} >= ${new Date(fromMs)}`
  const upto = uptoMs === null ? sql`` : sql` and ${column} < ${new Date(uptoMs)}`
  return sql`${from}${upto}`
}
