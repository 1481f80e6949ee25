-- Indexes for what is rare (services/api/trace). What is frequent is found by reading the newest messages first; what
-- is rare, or not there at all, made such a search read everything. Written by services/ingest.
create index mail_transaction_by_helo on mail_transaction (tenant_id, lower(helo), id_time desc);
create index mail_transaction_by_country on mail_transaction (tenant_id, remote_country, id_time desc)
  where remote_country is not null;
create index mail_transaction_by_reason on mail_transaction (tenant_id, reason, id_time desc) where reason is not null;
create index transaction_recipient_by_reason on transaction_recipient (tenant_id, reason, id_time desc)
  where reason is not null;
create index delivery_attempt_by_hop on delivery_attempt (tenant_id, lower(next_host), id_time desc);

-- Few rows each, and nearly nothing to keep up.
create index mail_transaction_by_rare_outcome on mail_transaction (tenant_id, outcome, id_time desc, transaction_id desc)
  where outcome in ('deferred', 'discarded', 'quarantined', 'aborted', 'reset');
create index mail_transaction_duplicate on mail_transaction (tenant_id, id_time desc, transaction_id desc)
  where duplicate_of is not null;
create index mail_transaction_auth on mail_transaction (tenant_id, id_time desc, transaction_id desc)
  where auth_user is not null;
create index message_finished_failed on message_finished (tenant_id, id_time desc, transaction_id desc)
  where failed_count > 0 or expired_count > 0;
