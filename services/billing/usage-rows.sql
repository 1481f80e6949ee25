-- The rows of a usage report in stable order. Keys that the grouping does not use are null.
--
-- $1 tenant, $2 and $3 the period, $4 grouping (client, recipient, day, domain, direction), $5 only this client (null:
-- all; `house`: what nobody holds), $6 and $7 starts and labels of the days, $8 and $9 starts and names of the modes that
-- hold in the period.
with message_share as (
  -- One row a message and group first: a message with two recipients in a group is one message.
  select
    case when $4 in ('client', 'recipient') then entry.client_id end as client_id,
    case when $4 = 'recipient' then entry.recipient_id end as recipient_id,
    case when $4 = 'domain' then coalesce(name.domain, 'erased') end as domain,
    case when $4 = 'day' then width_bucket(entry.ended_at, $6::timestamptz[]) end as day_number,
    entry.direction,
    entry.transaction_id,
    sum(counted.bytes) filter (where entry.is_billable) as billed_bytes,
    sum(counted.bytes) filter (where not entry.is_billable) as unbilled_bytes
  from usage_entry entry
  left join recipient_name name on name.tenant_id = entry.tenant_id and name.recipient_id = entry.recipient_id
  cross join lateral (
    select case ($9::text[])[width_bucket(entry.ended_at, $8::timestamptz[])]
      when 'full' then entry.full_bytes when 'split' then entry.split_bytes end as bytes
  ) counted
  where entry.tenant_id = $1 and entry.ended_at >= $2 and entry.ended_at < $3
    and ($5::text is null or entry.client_id = $5 or ($5 = 'house' and entry.client_id is null))
  group by 1, 2, 3, 4, 5, 6
),
usage as (
  select
    client_id, recipient_id, domain, day_number, direction,
    count(*) as message_count,
    coalesce(sum(billed_bytes), 0) as billed_bytes,
    coalesce(sum(unbilled_bytes), 0) as unbilled_bytes
  from message_share
  group by 1, 2, 3, 4, 5
)
select
  usage.client_id as "clientId",
  client.name as "clientName",
  case when $4 = 'recipient'
    then coalesce(name.address, 'erased-' || left(replace(usage.recipient_id::text, '-', ''), 12)) end as "recipient",
  coalesce(usage.domain, case when $4 = 'recipient' then coalesce(name.domain, 'erased') end) as "domain",
  ($7::text[])[usage.day_number] as "day",
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
