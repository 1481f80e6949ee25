-- Parameters as in recipient-day.sql.
insert into traffic_hour as rolled (tenant_id, hour, outcome, stage, reason, country, network_class,
  transaction_count, recipient_count, accepted_count, message_bytes, data_bytes, declared_bytes)
select tenant_id, date_trunc('hour', ended_at, 'UTC'), outcome, stage, reason, remote_country, network_class,
  count(*), sum(recipient_count), sum(accepted_count), coalesce(sum(message_bytes), 0), sum(data_bytes),
  coalesce(sum(declared_bytes), 0)
from mail_transaction
where tenant_id = $1 and id_time between $3 and $4
  and case when $2::bigint[] is null then batch_id in (select batch_id from rolled_batch where tenant_id = $1)
    else batch_id = any ($2) end
  and ($5::datemultirange is null or (ended_at at time zone 'UTC')::date <@ $5::datemultirange)
group by 1, 2, 3, 4, 5, 6, 7
order by 1, 2, 3, 4, 5, 6, 7
on conflict on constraint traffic_hour_once do update set
  transaction_count = rolled.transaction_count + excluded.transaction_count,
  recipient_count = rolled.recipient_count + excluded.recipient_count,
  accepted_count = rolled.accepted_count + excluded.accepted_count,
  message_bytes = rolled.message_bytes + excluded.message_bytes,
  data_bytes = rolled.data_bytes + excluded.data_bytes,
  declared_bytes = rolled.declared_bytes + excluded.declared_bytes
