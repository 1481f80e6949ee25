-- Meters the messages of one ingest batch: BILLING.md, "Metering one message".
--
-- $1 tenant, $2 batch, $3 and $4 the range of id_time in which its transactions lie (both inclusive, for pruning).
-- Writes usage_entry, recipient_name and metered_batch, and gives the number of entries. The same rows of the log
-- give the same entries whatever the batch: nothing here depends on now or on what was metered before.
with message as (
  select
    transaction_id, id_time, ended_at, size_source, network_name,
    -- Refused at `header`: the end of data was not awaited. A log without sizes at the end of data has the octets.
    case when outcome = 'refused' and stage = 'header' then data_bytes else coalesce(message_bytes, data_bytes) end
      as size_bytes,
    -- Other MTAs tell no size of what they did not queue. Unknown is not 0: it is entered, and never billed.
    size_source = 'queue' and message_bytes is null and data_bytes = 0 as is_size_unknown,
    case when outcome = 'refused' then stage end as refused_stage,
    duplicate_of is not null as is_duplicate,
    -- Normalised as the directory is. ASCII is lowered first, whatever the language of the database makes of an I.
    (case when policy.lowers_local_part
      then lower(lower(sender_local_part collate "C") collate "default") else sender_local_part
    end || '@' || sender_domain) collate "C" as sender_address,
    sender_domain,
    policy.bills_refused_content, policy.bills_duplicates
  from mail_transaction
  cross join lateral (select regexp_replace(sender, '@[^@]*$', '') as sender_local_part) sender_part
  -- Without a policy is_billable is null, and the insert fails: better loud than unmetered.
  left join lateral (
    select lowers_local_part, bills_refused_content, bills_duplicates from billing_policy
    where billing_policy.tenant_id = $1 and valid_from <= mail_transaction.ended_at
    order by valid_from desc, revision desc limit 1
  ) policy on true
  where tenant_id = $1 and batch_id = $2 and id_time between $3 and $4
    and (outcome in ('accepted', 'marked', 'discarded', 'quarantined')
      or (outcome = 'refused' and stage in ('header', 'complete')))
    -- Older than what may still be corrected: recorded, and never rated.
    and id_time >= coalesce((select max(month) + interval '1 month' from retention_removal
      where tenant_id = $1 and kind = 'usage'), '-infinity')
),
-- Per message its distinct recipients that were answered 250, in byte order of the address. The divisor counts every
-- one of them, whoever pays. A subquery a message, so that the plan is the same before the tables are analysed.
share as (
  select message.*, recipient.*
  from message
  cross join lateral (
    select
      recipient_id, address, domain,
      min(direction) as direction,
      -- The gateway gives a reason beside a 250 only where the client's mail is taken and not billed (DESIGN §4).
      case when bool_and(coalesce(reason, '') like 'client-%') then min(reason) end as unbilled_reason,
      count(*) over () as recipient_count,
      row_number() over (order by address collate "C", recipient_id) as place
    from transaction_recipient taken
    where taken.tenant_id = $1
      and taken.transaction_id = message.transaction_id and taken.id_time = message.id_time
      and taken.outcome in ('accepted', 'discarded', 'quarantined')
    group by recipient_id, address, domain
  ) recipient
),
entry as (
  select
    transaction_id, id_time, recipient_id, ended_at, direction,
    -- Inside recipients pay for themselves; what goes out is paid by the sender, else by the network it came from.
    coalesce(
      (select client_id from client_address
        where tenant_id = $1 and valid @> ended_at
          and address = case when share.direction = 'outbound' then sender_address else share.address end),
      (select client_id from client_address
        where tenant_id = $1 and valid @> ended_at
          and address = '*@' || case when share.direction = 'outbound' then sender_domain else share.domain end),
      case when share.direction = 'outbound' then
        (select client_id from network_client
          where tenant_id = $1 and valid @> ended_at and network_name = share.network_name)
      end
    ) as client_id,
    size_bytes as full_bytes,
    size_bytes / recipient_count + case when place <= size_bytes % recipient_count then 1 else 0 end as split_bytes,
    case
      when refused_stage is not null and not bills_refused_content then 'refused-at-' || refused_stage
      when is_duplicate and not bills_duplicates then 'duplicate'
      else coalesce(unbilled_reason, case when is_size_unknown then 'size-unknown' end)
    end as reason,
    bills_refused_content is not null as has_policy,
    size_source, address, domain
  from share
),
written_entry as (
  insert into usage_entry (tenant_id, transaction_id, id_time, recipient_id, correction, ended_at, client_id,
    direction, full_bytes, split_bytes, is_billable, reason, size_source)
  select $1, transaction_id, id_time, recipient_id, 0, ended_at, client_id,
    direction, full_bytes, split_bytes, case when has_policy then reason is null end, reason, size_source
  from entry
  on conflict do nothing
  returning 1
),
written_name as (
  -- In order of the key: two workers that write the same names never wait for each other in a circle.
  insert into recipient_name (tenant_id, recipient_id, address, domain)
  select distinct $1, recipient_id, address, domain from entry order by recipient_id
  on conflict do nothing
  returning 1
)
insert into metered_batch (tenant_id, batch_id, entry_count)
select $1, $2, count(*) from written_entry
returning entry_count
