-- The log as it was taken in. All tables here are written by services/ingest alone.

-- log_boot: one life of one gateway process. `seqs` holds every sequence number that is ingested and is the
-- idempotence key of the whole pipeline: an event is new if its seq is not in it, and what is missing between
-- its ranges is a gap. Position and rows move in one transaction, which holds the lock of this row.
create table log_boot (
  tenant_id text not null references tenant,
  node text not null,
  boot uuid not null,
  boot_number bigint,
  seqs int8multirange not null default '{}',
  newest_at timestamptz,
  -- time up to which no event of this boot is missing
  complete_at timestamptz,
  previous_boot uuid,
  previous_seq bigint,
  previous_ended_cleanly boolean,
  ended_cleanly boolean not null default false,
  primary key (tenant_id, node, boot)
);

-- log_segment: how far a segment was read; identity is its header, never its name. Only saves reading again.
create table log_segment (
  tenant_id text not null references tenant,
  node text not null,
  boot uuid not null,
  segment bigint not null,
  previous_seq bigint not null,
  position_bytes bigint not null default 0,
  file_name text not null,
  updated_at timestamptz not null default now(),
  primary key (tenant_id, node, boot, segment)
);

-- log_gap_accepted: a hole in the sequence that an administrator declared lost, by name.
create table log_gap_accepted (
  tenant_id text not null references tenant,
  node text not null,
  boot uuid not null,
  seqs int8multirange not null,
  accepted_by text not null,
  reason text not null,
  accepted_at timestamptz not null default now(),
  primary key (tenant_id, node, boot, accepted_at)
);

-- ingest_batch: one row a transaction that loaded rows; what reads them afterwards (metering, rollups) works by
-- batch, so that late and concurrent batches are neither missed nor taken twice.
create table ingest_batch (
  tenant_id text not null references tenant,
  batch_id bigint generated always as identity,
  -- range of the partitioning time of its transactions, for pruning; null: no transaction in it
  from_time timestamptz,
  upto_time timestamptz,
  transaction_count bigint not null,
  event_count bigint not null,
  ingested_at timestamptz not null default now(),
  primary key (tenant_id, batch_id)
);

-- rejected_line: a line that is no valid event, or contradicts one that is stored; kept whole, with the reason.
create table rejected_line (
  tenant_id text not null references tenant,
  rejected_id bigint generated always as identity,
  reason text not null constraint rejected_line_reason check (reason in
    ('torn', 'not-utf8', 'not-json', 'too-long', 'schema', 'schema-version', 'wrong-tenant', 'no-header',
     'time-out-of-range', 'conflict', 'row')),
  detail text not null,
  file_name text not null,
  position_bytes bigint not null,
  -- sha256 of the line: a file read twice rejects a line once
  digest bytea not null,
  line bytea not null,
  rejected_at timestamptz not null default now(),
  primary key (tenant_id, rejected_id),
  constraint rejected_line_once unique (tenant_id, reason, digest, position_bytes)
);

-- policy_version: content of every rule set, directory and policy that was ever in force, by hash.
create table policy_version (
  tenant_id text not null references tenant,
  part text not null constraint policy_version_part check (part in ('ruleset', 'directory', 'policy')),
  hash text not null,
  content jsonb not null,
  first_loaded_at timestamptz not null,
  primary key (tenant_id, part, hash)
);

-- gateway_event: what a gateway told beside mail: segments opened, started, stopped, policy loaded (its content is
-- in policy_version), quarantine released and deleted. One row an event; gateway.alive leaves only its time.
create table gateway_event (
  tenant_id text not null references tenant,
  node text not null,
  boot uuid not null,
  seq bigint not null,
  at timestamptz not null,
  kind text not null,
  transaction_id uuid,
  event_hash bigint not null,
  event jsonb not null,
  primary key (tenant_id, node, boot, seq)
);
create index gateway_event_by_transaction on gateway_event (tenant_id, transaction_id) where transaction_id is not null;
