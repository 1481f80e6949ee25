/** `has:` as SQL on a row `mail_transaction t`. */
import { sql, type RawBuilder } from 'kysely'
import type { TraceHas } from '../../contracts/trace-keys.ts'
import { isInScope, ownHit, type TraceScope } from './trace-scope.ts'

/**
 * `within`: SQL on a `mail_transaction q`, the tenant and the time asked for, where a search is to start from this
 * term; `null` where another term leaves few rows to look at.
 */
export function hasCondition(word: string, scope: TraceScope, within: RawBuilder<unknown> | null): RawBuilder<boolean> {
  switch (word as TraceHas) {
    case 'attachment':
      return sql<boolean>`t.attachment_count > 0`
    case 'auth':
      return sql<boolean>`t.auth_user is not null`
    case 'declared':
      return sql<boolean>`t.declared_bytes is not null`
    case 'duplicate':
      return sql<boolean>`t.duplicate_of is not null`
    case 'refused':
      return scope.clientId === null
        ? sql<boolean>`t.accepted_count < t.recipient_count`
        : ownRecipientExists(scope, sql<boolean>`r.outcome in ('refused', 'deferred')`)
    case 'delivery':
      return scope.clientId === null
        ? sql<boolean>`exists (select from delivery_attempt d where ${sameTransaction('d')})`
        : ownRecipientExists(scope, wasTried(['delivered', 'deferred', 'failed']))
    case 'queued':
      // Few, and told by what is not there: found for all at once, where a look for each row would go on for ever.
      if (scope.clientId === null && within !== null) return sql<boolean>`t.transaction_id = any(array(${unfinished(within)}))`
      return sql<boolean>`(${isQueueable} and not exists (select from message_finished f
        where ${sameTransaction('f')})${
        scope.clientId === null
          ? sql``
          : sql` and ${ownRecipientExists(scope, sql<boolean>`not ${wasTried(['delivered', 'failed'])}`)}`
      })`
    case 'failed':
      return scope.clientId === null
        ? sql<boolean>`exists (select from message_finished f where ${sameTransaction('f')}
          and (f.failed_count > 0 or f.expired_count > 0))`
        : ownRecipientExists(scope, wasTried(['failed']))
    case 'rule':
      return hitExists(scope, sql<boolean>`not h.is_shadow`)
    case 'shadow':
      return hitExists(scope, sql<boolean>`h.is_shadow`)
  }
}

/** SQL on `t`: it was put into the queue of a gateway. */
export const isQueueable: RawBuilder<boolean> =
  sql<boolean>`t.outcome in ('accepted', 'marked') and t.duplicate_of is null`

function unfinished(within: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`select q.transaction_id from mail_transaction q
    where ${within} and q.outcome in ('accepted', 'marked') and q.duplicate_of is null
      and not exists (select from message_finished f
        where f.tenant_id = q.tenant_id and f.transaction_id = q.transaction_id and f.id_time = q.id_time)`
}

function sameTransaction(alias: 'd' | 'f' | 'h' | 'r'): RawBuilder<boolean> {
  const table = sql.ref(alias)
  return sql<boolean>`${table}.tenant_id = t.tenant_id and ${table}.transaction_id = t.transaction_id
    and ${table}.id_time = t.id_time`
}

function ownRecipientExists(scope: TraceScope, test: RawBuilder<boolean>): RawBuilder<boolean> {
  return sql<boolean>`exists (select from transaction_recipient r where ${sameTransaction('r')} and ${test}
    and ${isInScope(scope)})`
}

/** SQL on a `transaction_recipient r`: a delivery to its address, in any case, ended in one of these ways. */
export function wasTried(outcomes: readonly ('delivered' | 'deferred' | 'failed')[]): RawBuilder<boolean> {
  return sql<boolean>`exists (select from delivery_attempt d,
    jsonb_to_recordset(d.event->'recipients') as tried (address text, outcome text)
    where d.tenant_id = r.tenant_id and d.transaction_id = r.transaction_id and d.id_time = r.id_time
      and lower(tried.address) = lower(r.address) and tried.outcome = any(${[...outcomes]}::text[]))`
}

function hitExists(scope: TraceScope, test: RawBuilder<boolean>): RawBuilder<boolean> {
  return sql<boolean>`exists (select from rule_hit h where ${sameTransaction('h')} and ${test}${ownHit(scope)})`
}
