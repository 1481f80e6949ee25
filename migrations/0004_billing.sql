-- Who pays, and for what. All tables here are written by services/billing alone.

create extension if not exists btree_gist;

-- client: who pays. Departments name their parent.
create table client (
  tenant_id text not null references tenant,
  client_id text not null constraint client_id_form check (client_id ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
  name text not null,
  parent_id text,
  state text not null default 'active' constraint client_state check (state in
    ('active', 'blocked', 'balance-exhausted', 'quota', 'expired', 'not-started')),
  created_at timestamptz not null default now(),
  primary key (tenant_id, client_id),
  foreign key (tenant_id, parent_id) references client (tenant_id, client_id),
  constraint client_id_is_not_house check (client_id <> 'house')
);

-- client_address: which client holds an address, and when. `*@domain` stands for every address of a domain that
-- nobody holds by name at that time. No address belongs to two clients at once.
create table client_address (
  tenant_id text not null,
  address text collate "C" not null,
  client_id text not null,
  valid tstzrange not null constraint client_address_valid_is_half_open check
    (not isempty(valid) and (lower_inc(valid) or lower_inf(valid)) and not upper_inc(valid)),
  foreign key (tenant_id, client_id) references client (tenant_id, client_id),
  constraint client_address_has_one_owner exclude using gist (tenant_id with =, address with =, valid with &&)
);
create index client_address_by_client on client_address (tenant_id, client_id);
create index client_address_by_address on client_address (tenant_id, address);

-- network_client: who pays for what a network sends out where nobody holds the sender address, and when.
create table network_client (
  tenant_id text not null references tenant,
  network_name text not null,
  -- from the configuration; the directory may hold the client later
  client_id text not null,
  valid tstzrange not null constraint network_client_valid_is_half_open check
    (not isempty(valid) and (lower_inc(valid) or lower_inf(valid)) and not upper_inc(valid)),
  constraint network_client_has_one_payer exclude using gist (tenant_id with =, network_name with =, valid with &&)
);

-- billing_policy: how traffic is counted from a date on; append-only. The row with the newest valid_from not after
-- a message's time holds for it, of equal ones the highest revision. unit, zone and currency change only where a
-- period begins; the first row begins at -infinity.
create table billing_policy (
  tenant_id text not null references tenant,
  valid_from timestamptz not null,
  revision integer not null default 1,
  mode text not null constraint billing_policy_mode check (mode in ('full', 'split')),
  unit_bytes bigint not null constraint billing_policy_unit check (unit_bytes in (1000000, 1048576)),
  time_zone text not null,
  currency text not null constraint billing_policy_currency check (currency ~ '^[A-Z]{3}$'),
  bills_refused_content boolean not null,
  bills_duplicates boolean not null,
  -- whether addresses are compared with their local part in lower case
  lowers_local_part boolean not null,
  primary key (tenant_id, valid_from, revision)
);

-- recipient_name: the address behind an opaque recipient id. Erasure leaves the row and empties it: the tombstone
-- that keeps the name away when the same mail is ingested again.
create table recipient_name (
  tenant_id text not null,
  recipient_id uuid not null,
  address text collate "C",
  domain text collate "C",
  primary key (tenant_id, recipient_id),
  constraint recipient_name_is_whole_or_erased check ((address is null) = (domain is null))
);

-- usage_entry: what one recipient of one message is metered with, both ways of counting. Append-only.
-- correction is 0 for entries of the log itself.
create table usage_entry (
  tenant_id text not null,
  transaction_id uuid not null,
  id_time timestamptz not null,
  recipient_id uuid not null,
  correction bigint not null default 0,
  ended_at timestamptz not null,
  -- null: the house bucket
  client_id text,
  direction text not null constraint usage_entry_direction check (direction in ('inbound', 'outbound')),
  full_bytes bigint not null,
  split_bytes bigint not null,
  is_billable boolean not null,
  -- why not billable
  reason text,
  size_source text not null,
  primary key (tenant_id, transaction_id, id_time, recipient_id, correction),
  constraint usage_entry_unbillable_has_reason check (is_billable = (reason is null))
) partition by range (id_time);

create index usage_entry_by_time on usage_entry (tenant_id, ended_at);

-- metered_batch: the ingest batches whose entries are written; moved in one transaction with them.
create table metered_batch (
  tenant_id text not null,
  batch_id bigint not null,
  entry_count bigint not null,
  metered_at timestamptz not null default now(),
  primary key (tenant_id, batch_id)
);
