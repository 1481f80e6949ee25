-- What refusing early saved, by group of tries: BILLING.md, "Savings from early refusal".
--
-- $1 tenant, $2 and $3 the time in which groups begin (half-open), $4 now, $5 the largest message that is taken,
-- $6 how far behind $3 tries of a group are looked for.
-- A transaction saved traffic on the link only if no recipient was accepted and no body followed. Tries merge: same client
-- network, sender, set of recipients and declared size (or its absence), each within 48 h of the one before, after a final
-- 5xx within 4 h. One try before $2 that is linked is enough to date the group before it, so 48 h are looked back.
with message as (
  select transaction_id, id_time, ended_at, outcome, stage, reason, deciding_rule_id, network_class, declared_bytes,
    case family(remote_ip) when 4 then network(set_masklen(remote_ip, 24)) else network(set_masklen(remote_ip, 64)) end as network,
    sender, message_bytes
  from mail_transaction
  where tenant_id = $1
    -- Ids are made when a transaction begins, some time before it ends.
    and id_time >= $2::timestamptz - interval '49 hours' and id_time < $3::timestamptz + $6::interval
    and ended_at >= $2::timestamptz - interval '48 hours' and ended_at < $3::timestamptz + $6::interval
    and ((outcome in ('refused', 'deferred') and accepted_count = 0 and data_bytes = 0 and stage in ('connect', 'helo', 'mail', 'rcpt'))
      or outcome in ('accepted', 'marked', 'quarantined', 'discarded'))
),
try as (
  select message.*, recipients.ids,
    outcome not in ('refused', 'deferred') as is_taken
  from message
  cross join lateral (
    select coalesce(string_agg(recipient_id::text, ' ' order by recipient_id), '') as ids
    from (
      select distinct recipient_id from transaction_recipient r
      where r.tenant_id = $1 and r.transaction_id = message.transaction_id and r.id_time = message.id_time
        and (r.outcome in ('refused', 'deferred')) = (message.outcome in ('refused', 'deferred'))
    ) own
  ) recipients
),
linked as (
  select *,
    lag(ended_at) over same as before_at,
    lag(outcome) over same as before_outcome,
    lag(is_taken) over same as before_is_taken
  from try
  window same as (partition by network, sender, ids, declared_bytes order by ended_at, transaction_id)
),
numbered as (
  select *,
    count(*) filter (where before_at is null or before_is_taken
      or ended_at - before_at > case before_outcome when 'refused' then interval '4 hours' else interval '48 hours' end)
      over (partition by network, sender, ids, declared_bytes order by ended_at, transaction_id) as number
  from linked
),
grouped as (
  select
    network, sender, ids,
    min(ended_at) filter (where not is_taken) as first_at,
    max(ended_at) filter (where not is_taken) as last_at,
    count(*) filter (where not is_taken) as attempts,
    bool_or(outcome = 'refused') as is_final,
    bool_or(is_taken) as was_taken,
    case when declared_bytes is not null then least(declared_bytes, $5::bigint) end as floor_bytes,
    (array_agg(reason order by ended_at, transaction_id) filter (where not is_taken))[1] as reason,
    (array_agg(deciding_rule_id order by ended_at, transaction_id) filter (where not is_taken))[1] as rule_id,
    (array_agg(network_class order by ended_at, transaction_id) filter (where not is_taken))[1] as network_class
  from numbered
  group by network, sender, ids, declared_bytes, number
)
select
  first_at as "firstAt",
  attempts::integer as attempts,
  floor_bytes as "floorBytes",
  reason,
  rule_id as "ruleId",
  network_class as "networkClass",
  case
    when reason = 'size-limit' then 'too-large'
    when is_final then 'saved'
    when was_taken or exists (
      -- The message came for some of its recipients at least: its octets went over the link.
      select from try taken where taken.is_taken and taken.network = grouped.network and taken.sender = grouped.sender
        and string_to_array(taken.ids, ' ') && string_to_array(grouped.ids, ' ') and taken.ended_at > first_at and taken.ended_at <= last_at + interval '48 hours'
    ) then 'accepted-later'
    when last_at > $4::timestamptz - interval '48 hours' then 'pending'
    else 'saved'
  end as state
from grouped
where attempts > 0 and first_at >= $2 and first_at < $3
order by first_at, reason, rule_id, attempts, floor_bytes
