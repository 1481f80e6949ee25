-- Indexes for the trace (services/api/trace). The tables are written by services/ingest and services/billing.
create extension if not exists pg_trgm;

-- A sender is stored as it was given; an administrator types it in any case.
drop index mail_transaction_by_sender;
create index mail_transaction_by_sender on mail_transaction (tenant_id, lower(sender), id_time desc, transaction_id desc);

-- Text anywhere in an address or a subject. New entries wait in a list that is merged when it is full or at vacuum:
-- what each row would cost at once is paid for many rows together, and a search reads the list as well.
create index mail_transaction_sender_text on mail_transaction using gin (lower(sender) gin_trgm_ops);
create index mail_transaction_subject_text on mail_transaction using gin (subject gin_trgm_ops);
create index transaction_recipient_address_text on transaction_recipient using gin (address gin_trgm_ops);

-- Who pays: the entries of a client, and recipients without an entry.
create index usage_entry_by_client on usage_entry (tenant_id, client_id, id_time desc);
create index transaction_recipient_by_client on transaction_recipient (tenant_id, client_id, id_time desc)
  where client_id is not null;
