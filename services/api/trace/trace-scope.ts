/**
 * What of the mail somebody may see, and who pays for a message.
 *
 * Owns    the meaning of `client:` and of the role client: both are the paying party. That is the owner in the usage
 *         entry; where a recipient has none (refused, or not metered yet), the client that the gateway acted on.
 * Why     a scope is part of every condition on recipients, not only a filter over the result: else a client could
 *         find out by `to:` who else received a message.
 */
import { sql, type RawBuilder } from 'kysely'

/** `null`: the whole tenant. */
export type TraceScope = { clientId: string | null }

/** SQL on a `transaction_recipient r`: this client pays for it. */
export function paidBy(clientId: string): RawBuilder<boolean> {
  return sql<boolean>`coalesce(
    (select bool_or(u.client_id is not distinct from ${clientId}) from usage_entry u
     where u.tenant_id = r.tenant_id and u.transaction_id = r.transaction_id and u.id_time = r.id_time
       and u.recipient_id = r.recipient_id),
    r.client_id is not distinct from ${clientId})`
}

/** SQL on a `transaction_recipient r`: it lies in the scope. */
export function isInScope(scope: TraceScope): RawBuilder<boolean> {
  return scope.clientId === null ? sql<boolean>`true` : paidBy(scope.clientId)
}

/** SQL on a `mail_transaction t`: an entry of this client, `null` for the house. */
export function hasEntryOf(clientId: string | null): RawBuilder<boolean> {
  return sql<boolean>`exists (select from usage_entry u
    where u.tenant_id = t.tenant_id and u.transaction_id = t.transaction_id and u.id_time = t.id_time
      and ${clientId === null ? sql`u.client_id is null` : sql`u.client_id = ${clientId}`})`
}

/** SQL on a `mail_transaction t`: a recipient without an entry for which this client would pay. */
export function hasUnmeteredRecipientOf(clientId: string | null): RawBuilder<boolean> {
  // Nobody pays for a refused recipient that no client holds: it is not the house's either.
  const owner =
    clientId === null
      ? sql`r.client_id is null and r.outcome not in ('refused', 'deferred')`
      : sql`r.client_id = ${clientId}`
  return sql<boolean>`exists (select from transaction_recipient r
    where r.tenant_id = t.tenant_id and r.transaction_id = t.transaction_id and r.id_time = t.id_time and ${owner}
      and not exists (select from usage_entry u
        where u.tenant_id = r.tenant_id and u.transaction_id = r.transaction_id and u.id_time = r.id_time
          and u.recipient_id = r.recipient_id))`
}

/** SQL on a `rule_hit h`, with its `and`: a hit of a `rcpt` rule belongs to its recipient alone. */
export function ownHit(scope: TraceScope): RawBuilder<unknown> {
  if (scope.clientId === null) return sql``
  return sql` and (h.recipient_position is null or exists (select from transaction_recipient r
    where r.tenant_id = h.tenant_id and r.transaction_id = h.transaction_id and r.id_time = h.id_time
      and r.position = h.recipient_position and ${isInScope(scope)}))`
}
