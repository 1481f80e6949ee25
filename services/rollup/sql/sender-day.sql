-- Parameters as in recipient-day.sql.
insert into sender_day as rolled (tenant_id, day, sender_domain, outcome, transaction_count, message_bytes)
select tenant_id, (ended_at at time zone 'UTC')::date, sender_domain, outcome, count(*), coalesce(sum(message_bytes), 0)
from mail_transaction
where tenant_id = $1 and id_time between $3 and $4
  and case when $2::bigint[] is null then batch_id in (select batch_id from rolled_batch where tenant_id = $1)
    else batch_id = any ($2) end
  and ($5::datemultirange is null or (ended_at at time zone 'UTC')::date <@ $5::datemultirange)
group by 1, 2, 3, 4
order by 1, 2, 3, 4
on conflict on constraint sender_day_once do update set
  transaction_count = rolled.transaction_count + excluded.transaction_count,
  message_bytes = rolled.message_bytes + excluded.message_bytes
