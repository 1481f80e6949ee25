-- Adds usage entries to usage_rollup, by every grain at once.
--
-- $1 tenant; the entries: of batch $2 with the range $3 to $4 of its id_time, or of correction $5, or of the time from
-- $6 to $7 (all of these but one null). $8 starts of all days that hold them, $9 and $10 their periods and numbers,
-- $11 and $12 starts and names of modes.
with added as (
  -- A subquery a message, so that the plan is the same before the tables are analysed (README).
  select entry.*
  from mail_transaction message
  cross join lateral (
    select * from usage_entry
    where tenant_id = $1 and transaction_id = message.transaction_id and id_time = message.id_time and correction = 0
    offset 0
  ) entry
  where $2::bigint is not null
    and message.tenant_id = $1 and message.batch_id = $2 and message.id_time between $3 and $4
  union all
  select * from usage_entry where $5::bigint is not null and tenant_id = $1 and correction = $5 and correction <> 0
  union all
  select * from usage_entry where $6::timestamptz is not null and tenant_id = $1 and ended_at >= $6 and ended_at < $7
),
-- A message is counted once in a group. What the sums hold of the same messages already says in which groups.
earlier as (
  select entry.*
  from (select distinct transaction_id, id_time from added where $5::bigint is not null) message
  cross join lateral (
    select * from usage_entry
    where tenant_id = $1 and transaction_id = message.transaction_id and id_time = message.id_time and correction <> $5
    offset 0
  ) entry
  where correction = 0
    or exists (select from usage_rolled_correction r where r.tenant_id = $1 and r.correction = entry.correction)
  union all
  select entry.*
  from (select distinct transaction_id from added where $2::bigint is not null) message
  join usage_entry entry on entry.tenant_id = $1 and entry.transaction_id = message.transaction_id
    and entry.correction <> 0
  where exists (select from usage_rolled_correction r where r.tenant_id = $1 and r.correction = entry.correction)
),
placed as (
  select
    entry.transaction_id, entry.is_added, entry.client_id, entry.recipient_id, entry.direction,
    entry.full_bytes, entry.split_bytes, entry.is_billable,
    coalesce(name.domain, 'erased') as domain,
    ($9::text[])[day.place] as period,
    ($10::smallint[])[day.place] as day_number,
    ($12::text[])[width_bucket(entry.ended_at, $11::timestamptz[])] as mode
  from (select added.*, true as is_added from added union all select earlier.*, false from earlier) entry
  cross join lateral (select width_bucket(entry.ended_at, $8::timestamptz[]) as place) day
  left join recipient_name name on name.tenant_id = $1 and name.recipient_id = entry.recipient_id
),
-- One row a message and set of keys; the bits of grouping() say which keys the set has.
summed as (
  select
    period, mode, client_id, recipient_id, domain, day_number, direction,
    grouping(client_id, recipient_id, domain, day_number, direction) as unused_keys,
    count(distinct transaction_id) - count(distinct transaction_id) filter (where not is_added) as message_count,
    count(*) filter (where is_added) as entry_count,
    coalesce(sum(full_bytes) filter (where is_added and is_billable), 0) as billed_full_bytes,
    coalesce(sum(split_bytes) filter (where is_added and is_billable), 0) as billed_split_bytes,
    coalesce(sum(full_bytes) filter (where is_added and not is_billable), 0) as unbilled_full_bytes,
    coalesce(sum(split_bytes) filter (where is_added and not is_billable), 0) as unbilled_split_bytes
  from placed
  group by grouping sets (
    (period, mode, client_id, direction), (period, mode, client_id, recipient_id, direction),
    (period, mode, day_number, direction), (period, mode, client_id, day_number, direction),
    (period, mode, domain, direction), (period, mode, client_id, domain, direction),
    (period, mode, direction), (period, mode), (period, mode, client_id)
  )
)
insert into usage_rollup as rolled (tenant_id, period, grain, mode, client_id, recipient_id, domain, day_number,
  direction, message_count, entry_count, billed_full_bytes, billed_split_bytes, unbilled_full_bytes,
  unbilled_split_bytes)
select $1, period,
  case unused_keys
    when b'01110'::int then 'client' when b'00110'::int then 'recipient'
    when b'11100'::int then 'day' when b'01100'::int then 'client-day'
    when b'11010'::int then 'domain' when b'01010'::int then 'client-domain'
    when b'11110'::int then 'direction' when b'11111'::int then 'total' when b'01111'::int then 'client-total'
  end as grain,
  mode, client_id, recipient_id, domain, day_number, direction, message_count, entry_count, billed_full_bytes,
  billed_split_bytes, unbilled_full_bytes, unbilled_split_bytes
from summed
where entry_count > 0
-- In order of the key: two workers that add to the same rows never wait for each other in a circle.
order by period, grain, mode, client_id, recipient_id, domain, day_number, direction
on conflict on constraint usage_rollup_once do update set
  message_count = rolled.message_count + excluded.message_count,
  entry_count = rolled.entry_count + excluded.entry_count,
  billed_full_bytes = rolled.billed_full_bytes + excluded.billed_full_bytes,
  billed_split_bytes = rolled.billed_split_bytes + excluded.billed_split_bytes,
  unbilled_full_bytes = rolled.unbilled_full_bytes + excluded.unbilled_full_bytes,
  unbilled_split_bytes = rolled.unbilled_split_bytes + excluded.unbilled_split_bytes
