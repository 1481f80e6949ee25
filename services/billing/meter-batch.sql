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
),
-- Distinct recipients that were answered 250.
recipient as (
  select
    message.transaction_id, message.id_time, taken.recipient_id, taken.address, taken.domain,
    min(taken.direction) as direction,
    -- The gateway gives a reason beside a 250 only where the client's mail is taken and not billed (DESIGN §4).
    case when bool_and(coalesce(taken.reason, '') like 'client-%') then min(taken.reason) end as unbilled_reason
  from message
  join transaction_recipient taken on taken.tenant_id = $1
    and taken.transaction_id = message.transaction_id and taken.id_time = message.id_time
  where taken.outcome in ('accepted', 'discarded', 'quarantined') and taken.id_time between $3 and $4
  group by message.transaction_id, message.id_time, taken.recipient_id, taken.address, taken.domain
),
-- The divisor counts every one of them, whoever pays; the remainder goes out in byte order of the address.
share as (
  select
    recipient.*,
    count(*) over (partition by transaction_id, id_time) as recipient_count,
    row_number() over (partition by transaction_id, id_time order by address collate "C", recipient_id) as place
  from recipient
),
entry as (
  select
    share.transaction_id, share.id_time, share.recipient_id, message.ended_at, share.direction,
    coalesce(
      by_name.client_id, by_domain.client_id, case when share.direction = 'outbound' then by_network.client_id end
    ) as client_id,
    message.size_bytes as full_bytes,
    message.size_bytes / share.recipient_count
      + case when share.place <= message.size_bytes % share.recipient_count then 1 else 0 end as split_bytes,
    case
      when message.refused_stage is not null and not message.bills_refused_content
        then 'refused-at-' || message.refused_stage
      when message.is_duplicate and not message.bills_duplicates then 'duplicate'
      else share.unbilled_reason
    end as reason,
    message.bills_refused_content is not null as has_policy,
    message.size_source, share.address, share.domain
  from share
  join message using (transaction_id, id_time)
  -- Inside recipients pay for themselves; what goes out is paid by the sender, else by the network it came from.
  left join client_address by_name on by_name.tenant_id = $1 and by_name.valid @> message.ended_at
    and by_name.address = case when share.direction = 'outbound' then message.sender_address else share.address end
  left join client_address by_domain on by_domain.tenant_id = $1 and by_domain.valid @> message.ended_at
    and by_domain.address =
      '*@' || case when share.direction = 'outbound' then message.sender_domain else share.domain end
  left join network_client by_network on by_network.tenant_id = $1 and by_network.valid @> message.ended_at
    and by_network.network_name = message.network_name
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
