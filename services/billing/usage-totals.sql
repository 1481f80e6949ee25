-- What a period holds, both ways of counting. $1 tenant, $2 and $3 the period, $4 only this client, as in
-- usage-rows.sql.
select
  coalesce(sum(full_bytes) filter (where is_billable), 0)::text as "fullBytes",
  coalesce(sum(split_bytes) filter (where is_billable), 0)::text as "splitBytes",
  count(distinct transaction_id)::text as "messageCount"
from usage_entry
where tenant_id = $1 and ended_at >= $2 and ended_at < $3
  and ($4::text is null or client_id = $4 or ($4 = 'house' and client_id is null))
