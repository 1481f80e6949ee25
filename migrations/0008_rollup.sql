-- Counts derived from the raw rows, for charts and top lists. All tables here are written by services/rollup alone;
-- all can be emptied and made again (`tollgate rebuild rollups`).
--
-- They are sums over ingest batches. A batch never changes once it is committed, and its row in rolled_batch moves in
-- one transaction with its sums; so late batches and concurrent ones are counted, and each is counted once.

-- rolled_batch: the ingest batches that are in the sums.
create table rolled_batch (
  tenant_id text not null,
  batch_id bigint not null,
  rolled_at timestamptz not null default now(),
  primary key (tenant_id, batch_id)
);

-- traffic_hour: mail transactions of one hour (UTC, by ended_at) and their octets.
create table traffic_hour (
  tenant_id text not null,
  hour timestamptz not null,
  outcome text not null,
  stage text not null,
  reason text,
  country text,
  network_class text not null,
  transaction_count bigint not null,
  recipient_count bigint not null,
  accepted_count bigint not null,
  message_bytes bigint not null,
  data_bytes bigint not null,
  declared_bytes bigint not null,
  constraint traffic_hour_once unique nulls not distinct (tenant_id, hour, outcome, stage, reason, country, network_class)
);

-- rule_hour: what one rule did in one hour. transaction_count counts a message once, hit_count each recipient.
create table rule_hour (
  tenant_id text not null,
  hour timestamptz not null,
  rule_id text collate "C" not null,
  stage text not null,
  branch text not null,
  is_shadow boolean not null,
  outcome text not null,
  transaction_count bigint not null,
  hit_count bigint not null,
  weight_milli bigint not null,
  constraint rule_hour_once unique (tenant_id, hour, rule_id, stage, branch, is_shadow, outcome)
);

-- recipient_day: recipients of one day (UTC). recipient_id is null for an address that no directory knew: a harvest
-- of generated addresses must not make a row for each.
create table recipient_day (
  tenant_id text not null,
  day date not null,
  domain text collate "C" not null,
  recipient_id uuid,
  client_id text,
  direction text not null,
  outcome text not null,
  reason text,
  recipient_count bigint not null,
  message_bytes bigint not null,
  constraint recipient_day_once unique nulls not distinct
    (tenant_id, day, domain, recipient_id, client_id, direction, outcome, reason)
);

-- sender_day: senders of one day (UTC), by domain; null: no MAIL was seen.
create table sender_day (
  tenant_id text not null,
  day date not null,
  sender_domain text collate "C",
  outcome text not null,
  transaction_count bigint not null,
  message_bytes bigint not null,
  constraint sender_day_once unique nulls not distinct (tenant_id, day, sender_domain, outcome)
);

do $$
begin
  if not exists (select from pg_roles where rolname = 'tollgate_run') then return; end if;
  grant select, insert, update, delete on rolled_batch, traffic_hour, rule_hour, recipient_day, sender_day to tollgate_run;
end
$$;
