-- The rows of a usage report from usage_rollup: those of usage-rows.sql, in the same order.
--
-- $1 tenant, $2 label of the period, $3 grain, $4 grouping, $5 only this client (null: all; `house`: what nobody
-- holds), $6 labels of the days, $7 the mode that was asked for (null: what held for each message).
with usage as (
  select
    case when $4 in ('client', 'recipient') then client_id end as client_id,
    recipient_id, domain, day_number, direction,
    sum(message_count) as message_count,
    sum(case coalesce($7, mode) when 'full' then billed_full_bytes else billed_split_bytes end) as billed_bytes,
    sum(case coalesce($7, mode) when 'full' then unbilled_full_bytes else unbilled_split_bytes end) as unbilled_bytes
  from usage_rollup
  where tenant_id = $1 and period = $2 and grain = $3
    and ($5::text is null or client_id = $5 or ($5 = 'house' and client_id is null))
  group by 1, 2, 3, 4, 5
)
select
  usage.client_id as "clientId",
  client.name as "clientName",
  case when $4 = 'recipient'
    then coalesce(name.address, 'erased-' || left(replace(usage.recipient_id::text, '-', ''), 12)) end as "recipient",
  coalesce(usage.domain, case when $4 = 'recipient' then coalesce(name.domain, 'erased') end) as "domain",
  ($6::text[])[usage.day_number] as "day",
  usage.direction as "direction",
  usage.message_count::text as "messageCount",
  usage.billed_bytes::text as "billedBytes",
  usage.unbilled_bytes::text as "unbilledBytes"
from usage
left join client on client.tenant_id = $1 and client.client_id = usage.client_id
left join recipient_name name on name.tenant_id = $1 and name.recipient_id = usage.recipient_id
order by
  usage.client_id collate "C" nulls last, name.address nulls last, usage.recipient_id, usage.domain,
  usage.day_number, usage.direction collate "C"
