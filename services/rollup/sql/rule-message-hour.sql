-- Parameters as in recipient-day.sql.
insert into rule_message_hour as rolled (tenant_id, hour, rule_id, outcome, transaction_count)
select hit.tenant_id, date_trunc('hour', ended_at, 'UTC'), hit.rule_id, outcome, count(distinct hit.transaction_id)
from mail_transaction
join rule_hit hit using (tenant_id, transaction_id, id_time)
where tenant_id = $1 and id_time between $3 and $4 and hit.id_time between $3 and $4
  and case when $2::bigint[] is null then batch_id in (select batch_id from rolled_batch where tenant_id = $1)
    else batch_id = any ($2) end
  and ($5::datemultirange is null or (ended_at at time zone 'UTC')::date <@ $5::datemultirange)
group by 1, 2, 3, 4
order by 1, 2, 3, 4
on conflict on constraint rule_message_hour_once do update set
  transaction_count = rolled.transaction_count + excluded.transaction_count
