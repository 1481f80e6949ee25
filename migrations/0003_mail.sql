-- Mail as the event log tells it. All tables here are written by services/ingest alone, append-only.
--
-- id_time is the time inside the transaction id and the partitioning time of every table; each key holds
-- (tenant_id, transaction_id, id_time), so the tables can be distributed by transaction and joined where they
-- lie (DESIGN §5). Weights are thousandths. Addresses, domains and ids are compared by octets (collate "C"),
-- whatever the database's language, so that order is the one of BILLING and a prefix can use the index.

-- mail_transaction: one row a mail transaction, narrow: what lists, filters and reports need.
create table mail_transaction (
  tenant_id text not null,
  transaction_id uuid not null,
  id_time timestamptz not null,
  ended_at timestamptz not null,
  batch_id bigint not null,
  node text not null,
  boot uuid not null,
  seq bigint not null,
  -- first 8 octets of the sha256 of the line: tells a repeated line from a contradicting one
  event_hash bigint not null,
  source text not null,
  remote_ip inet,
  remote_name text,
  remote_country text,
  network_class text not null,
  network_name text,
  helo text collate "C",
  auth_user text,
  sender text collate "C",
  sender_domain text collate "C",
  subject text,
  message_id text collate "C",
  outcome text not null,
  stage text not null,
  reason text,
  deciding_rule_id text collate "C",
  reply_code smallint,
  reply_text text,
  declared_bytes bigint,
  message_bytes bigint,
  data_bytes bigint not null,
  size_source text not null,
  weight_milli integer not null,
  recipient_count integer not null,
  accepted_count integer not null,
  attachment_count integer not null,
  digest text,
  duplicate_of uuid,
  primary key (tenant_id, transaction_id, id_time)
) partition by range (id_time);

create index mail_transaction_by_time on mail_transaction (tenant_id, id_time desc, transaction_id desc);
create index mail_transaction_by_batch on mail_transaction (tenant_id, batch_id);
create index mail_transaction_by_sender on mail_transaction (tenant_id, sender, id_time desc);
create index mail_transaction_by_sender_domain on mail_transaction (tenant_id, sender_domain, id_time desc);
create index mail_transaction_by_ip on mail_transaction (tenant_id, remote_ip, id_time desc);
create index mail_transaction_by_message_id on mail_transaction (tenant_id, message_id);

-- transaction_recipient: one row an RCPT, refused ones included, in their order.
create table transaction_recipient (
  tenant_id text not null,
  transaction_id uuid not null,
  id_time timestamptz not null,
  position integer not null,
  batch_id bigint not null,
  -- normalised
  address text collate "C" not null,
  domain text collate "C" not null,
  -- keyed hash of the address: names it where the address itself must not stand
  recipient_id uuid not null,
  direction text not null,
  outcome text not null,
  reason text,
  reply_code smallint not null,
  client_id text,
  primary key (tenant_id, transaction_id, id_time, position)
) partition by range (id_time);

create index transaction_recipient_by_address on transaction_recipient (tenant_id, address, id_time desc, transaction_id desc);
create index transaction_recipient_by_domain on transaction_recipient (tenant_id, domain, id_time desc);

-- rule_hit: one row a rule that hit (or took its else branch with an effect), shadow ones included.
create table rule_hit (
  tenant_id text not null,
  transaction_id uuid not null,
  id_time timestamptz not null,
  position integer not null,
  rule_id text collate "C" not null,
  revision integer not null,
  stage text not null,
  recipient_position integer,
  branch text not null,
  action text not null,
  weight_milli integer not null,
  is_shadow boolean not null,
  primary key (tenant_id, transaction_id, id_time, position)
) partition by range (id_time);

create index rule_hit_by_rule on rule_hit (tenant_id, rule_id, id_time desc);

-- transaction_detail: the whole event, for the one who opens a message, and for the backtest.
create table transaction_detail (
  tenant_id text not null,
  transaction_id uuid not null,
  id_time timestamptz not null,
  event jsonb not null,
  primary key (tenant_id, transaction_id, id_time)
) partition by range (id_time);

-- delivery_attempt: one row a try to hand a queued message on.
create table delivery_attempt (
  tenant_id text not null,
  transaction_id uuid not null,
  id_time timestamptz not null,
  boot uuid not null,
  seq bigint not null,
  event_hash bigint not null,
  ended_at timestamptz not null,
  next_host text not null,
  delivered_count integer not null,
  deferred_count integer not null,
  failed_count integer not null,
  event jsonb not null,
  primary key (tenant_id, transaction_id, id_time, boot, seq)
) partition by range (id_time);

-- message_finished: one row a message for which nothing is left to do.
create table message_finished (
  tenant_id text not null,
  transaction_id uuid not null,
  id_time timestamptz not null,
  boot uuid not null,
  seq bigint not null,
  event_hash bigint not null,
  finished_at timestamptz not null,
  delivered_count integer not null,
  failed_count integer not null,
  expired_count integer not null,
  event jsonb not null,
  primary key (tenant_id, transaction_id, id_time, boot, seq)
) partition by range (id_time);

-- session_closed: one row a connection. Its partitioning time is closed_at; it is joined to nothing.
create table session_closed (
  tenant_id text not null,
  session_id uuid not null,
  closed_at timestamptz not null,
  event_hash bigint not null,
  remote_ip inet,
  network_class text not null,
  closed_by text not null,
  received_bytes bigint not null,
  sent_bytes bigint not null,
  transaction_count integer not null,
  violation_count integer not null,
  event jsonb not null,
  primary key (tenant_id, session_id, closed_at)
) partition by range (closed_at);

-- Adds the partitions of every month that [from_time, upto_time] touches to all tables partitioned by time.
-- Runs as the owner: the role that runs may fill partitions, and not make or drop them.
create function ensure_partitions(from_time timestamptz, upto_time timestamptz) returns void
  language plpgsql security definer set search_path = public, pg_temp set timezone = 'UTC' as $$
declare
  parent regclass;
  month timestamptz := date_trunc('month', from_time);
  partition_name text;
begin
  if from_time < '2000-01-01' or upto_time > now() + interval '1 year' then
    raise exception 'no partitions for % to %', from_time, upto_time;
  end if;
  while month <= upto_time loop
    for parent in
      select c.oid::regclass from pg_class c join pg_partitioned_table p on p.partrelid = c.oid
      where c.relnamespace = 'public'::regnamespace order by c.relname
    loop
      partition_name := format('%s_%s', parent, to_char(month, 'YYYY_MM'));
      if to_regclass(format('public.%I', partition_name)) is null then
        perform pg_advisory_xact_lock(hashtext('tollgate partitions'));
        execute format('create table if not exists %I partition of %s for values from (%L) to (%L)',
          partition_name, parent, month, month + interval '1 month');
      end if;
    end loop;
    month := month + interval '1 month';
  end loop;
end
$$;
