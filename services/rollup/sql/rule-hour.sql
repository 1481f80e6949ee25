-- Parameters as in recipient-day.sql.
insert into rule_hour as rolled (tenant_id, hour, rule_id, stage, branch, is_shadow, outcome, transaction_count,
  hit_count, weight_milli)
select hit.tenant_id, date_trunc('hour', ended_at, 'UTC'), hit.rule_id, hit.stage, hit.branch, hit.is_shadow, outcome,
  count(distinct hit.transaction_id), count(*), sum(hit.weight_milli)
from mail_transaction
join rule_hit hit using (tenant_id, transaction_id, id_time)
where tenant_id = $1 and id_time between $3 and $4 and hit.id_time between $3 and $4
  and case when $2::bigint[] is null then batch_id in (select batch_id from rolled_batch where tenant_id = $1)
    else batch_id = any ($2) end
  and ($5::datemultirange is null or (ended_at at time zone 'UTC')::date <@ $5::datemultirange)
group by 1, 2, 3, 4, 5, 6, 7
order by 1, 2, 3, 4, 5, 6, 7
on conflict on constraint rule_hour_once do update set
  transaction_count = rolled.transaction_count + excluded.transaction_count,
  hit_count = rolled.hit_count + excluded.hit_count,
  weight_milli = rolled.weight_milli + excluded.weight_milli
