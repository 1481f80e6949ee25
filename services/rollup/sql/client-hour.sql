-- Parameters as in recipient-day.sql; the batches are metered ones. Corrections belong to no batch and do not count.
insert into client_hour as rolled (tenant_id, hour, client_id, is_billable, transaction_count, entry_count, full_bytes,
  split_bytes)
select entry.tenant_id, date_trunc('hour', entry.ended_at, 'UTC'), entry.client_id, entry.is_billable,
  count(distinct entry.transaction_id), count(*), sum(entry.full_bytes), sum(entry.split_bytes)
from mail_transaction
join usage_entry entry using (tenant_id, transaction_id, id_time)
where tenant_id = $1 and id_time between $3 and $4 and entry.id_time between $3 and $4 and entry.correction = 0
  and case when $2::bigint[] is null then batch_id in (select batch_id from rolled_metering where tenant_id = $1)
    else batch_id = any ($2) end
  and ($5::datemultirange is null or (entry.ended_at at time zone 'UTC')::date <@ $5::datemultirange)
group by 1, 2, 3, 4
order by 1, 2, 3, 4
on conflict on constraint client_hour_once do update set
  transaction_count = rolled.transaction_count + excluded.transaction_count,
  entry_count = rolled.entry_count + excluded.entry_count,
  full_bytes = rolled.full_bytes + excluded.full_bytes,
  split_bytes = rolled.split_bytes + excluded.split_bytes
