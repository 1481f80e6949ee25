-- Sums of usage entries by period, written by services/billing in the transaction that writes the entries, and made
-- again from them by `tollgate rebuild rollups`. Derived, so the running role may delete them.

-- usage_rollup: one row a period, way of grouping (grain), mode that held for the messages, and key of the grouping;
-- keys that a grain does not use are null, and so is client_id for the house. Several grains and not one, since a
-- message with two recipients in a group is one message of it: message counts of finer groups do not add up.
-- octets are kept both ways of counting, billed and not.
create table usage_rollup (
  tenant_id text not null,
  period text collate "C" not null,
  grain text collate "C" not null constraint usage_rollup_grain check (grain in ('client', 'recipient', 'day',
    'client-day', 'domain', 'client-domain', 'direction', 'total', 'client-total')),
  mode text not null,
  client_id text,
  recipient_id uuid,
  domain text collate "C",
  -- place among the days of the period, from 1
  day_number smallint,
  direction text,
  message_count bigint not null,
  entry_count bigint not null,
  billed_full_bytes bigint not null,
  billed_split_bytes bigint not null,
  unbilled_full_bytes bigint not null,
  unbilled_split_bytes bigint not null,
  constraint usage_rollup_once unique nulls not distinct
    (tenant_id, period, grain, mode, client_id, recipient_id, domain, day_number, direction)
) with (fillfactor = 70);

-- usage_rollup_tenant: tenants of whom every entry is in the sums. One whose entries are older than the table gets
-- its row when they have been added.
create table usage_rollup_tenant (
  tenant_id text not null,
  rolled_at timestamptz not null default now(),
  primary key (tenant_id)
);

-- usage_rolled_correction: corrections that are in the sums, each once.
create table usage_rolled_correction (
  tenant_id text not null,
  correction bigint not null,
  rolled_at timestamptz not null default now(),
  primary key (tenant_id, correction)
);

-- For adding a batch to the sums: whether a message of it was corrected before it was metered.
create index usage_entry_corrected on usage_entry (tenant_id, transaction_id) where correction <> 0;

do $$
begin
  if not exists (select from pg_roles where rolname = 'tollgate_run') then return; end if;
  grant select, insert, update, delete on usage_rollup, usage_rollup_tenant, usage_rolled_correction to tollgate_run;
end
$$;
