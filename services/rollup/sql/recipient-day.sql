-- $1 tenant, $2 batch ids, $3 and $4 range of id_time for pruning
insert into recipient_day as rolled (tenant_id, day, domain, recipient_id, client_id, direction, outcome, reason,
  recipient_count, message_bytes)
select recipient.tenant_id, (ended_at at time zone 'UTC')::date, recipient.domain,
  case when recipient.reason in ('unknown-recipient', 'relay-denied') then null else recipient.recipient_id end,
  recipient.client_id, recipient.direction, recipient.outcome, recipient.reason,
  count(*), coalesce(sum(message_bytes), 0)
from mail_transaction
join transaction_recipient recipient using (tenant_id, transaction_id, id_time)
where tenant_id = $1 and mail_transaction.batch_id = any ($2) and id_time between $3 and $4
  and recipient.id_time between $3 and $4
group by 1, 2, 3, 4, 5, 6, 7, 8
order by 1, 2, 3, 4, 5, 6, 7, 8
on conflict on constraint recipient_day_once do update set
  recipient_count = rolled.recipient_count + excluded.recipient_count,
  message_bytes = rolled.message_bytes + excluded.message_bytes
