-- $1 tenant; of these batches: $2 ids, or null for all that are rolled; $3 and $4 their range of id_time, for pruning;
-- $5 the days (of ended_at, UTC) that count, null for all.
insert into recipient_day as rolled (tenant_id, day, domain, recipient_id, client_id, direction, outcome, reason,
  recipient_count, message_bytes)
select recipient.tenant_id, (ended_at at time zone 'UTC')::date, recipient.domain,
  case when recipient.reason in ('unknown-recipient', 'relay-denied') then null else recipient.recipient_id end,
  recipient.client_id, recipient.direction, recipient.outcome, recipient.reason,
  count(*), coalesce(sum(message_bytes), 0)
from mail_transaction
join transaction_recipient recipient using (tenant_id, transaction_id, id_time)
where tenant_id = $1 and id_time between $3 and $4 and recipient.id_time between $3 and $4
  and case when $2::bigint[] is null then mail_transaction.batch_id in (select batch_id from rolled_batch where tenant_id = $1)
    else mail_transaction.batch_id = any ($2) end
  and ($5::datemultirange is null or (ended_at at time zone 'UTC')::date <@ $5::datemultirange)
group by 1, 2, 3, 4, 5, 6, 7, 8
order by 1, 2, 3, 4, 5, 6, 7, 8
on conflict on constraint recipient_day_once do update set
  recipient_count = rolled.recipient_count + excluded.recipient_count,
  message_bytes = rolled.message_bytes + excluded.message_bytes
