-- What a period holds, both ways of counting, from usage_rollup. $1 tenant, $2 label of the period, $3 only this
-- client, as in usage-rolled-rows.sql.
select
  coalesce(sum(billed_full_bytes), 0)::text as "fullBytes",
  coalesce(sum(billed_split_bytes), 0)::text as "splitBytes",
  coalesce(sum(message_count), 0)::text as "messageCount"
from usage_rollup
where tenant_id = $1 and period = $2
  and grain = case when $3::text is null then 'total' else 'client-total' end
  and ($3::text is null or client_id = $3 or ($3 = 'house' and client_id is null))
