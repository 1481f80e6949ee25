-- Rule sets tried against stored mail. Both tables are written by services/api alone.

-- backtest: one row a job. ruleset is what was tried, whole; watermark the newest ingest batch it saw. A row that
-- runs and whose advisory lock is free was interrupted.
create table backtest (
  tenant_id text not null references tenant,
  backtest_id uuid not null,
  created_at timestamptz not null,
  created_by text not null,
  state text not null constraint backtest_state check (state in ('running', 'done', 'cancelled', 'failed', 'interrupted')),
  -- of the time inside the ids, half-open
  from_time timestamptz not null,
  upto_time timestamptz not null,
  ruleset_hash text not null,
  ruleset jsonb not null,
  watermark bigint,
  done_count bigint not null default 0,
  total_count bigint not null default 0,
  finished_at timestamptz,
  -- why it failed, for people
  fault text,
  result jsonb,
  primary key (tenant_id, backtest_id),
  constraint backtest_range check (from_time < upto_time),
  constraint backtest_end check ((state = 'running') = (finished_at is null)),
  constraint backtest_result check ((state = 'done') = (result is not null))
);
create unique index backtest_one_runs on backtest (tenant_id) where state = 'running';
create index backtest_newest on backtest (tenant_id, created_at desc, backtest_id desc);

-- backtest_message: the transactions behind each cell of a backtest that differ; those that stay the same are all
-- others of its range. cell is as in its result.
create table backtest_message (
  tenant_id text not null,
  backtest_id uuid not null,
  cell text not null,
  id_time timestamptz not null,
  transaction_id uuid not null,
  primary key (tenant_id, backtest_id, cell, id_time, transaction_id),
  foreign key (tenant_id, backtest_id) references backtest on delete cascade
);
create index backtest_message_by_transaction on backtest_message (tenant_id, backtest_id, transaction_id);

do $$
begin
  if not exists (select from pg_roles where rolname = 'tollgate_run') then return; end if;
  grant select, insert, update, delete on backtest, backtest_message to tollgate_run;
end
$$;
