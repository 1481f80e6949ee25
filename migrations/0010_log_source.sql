-- Other MTAs' logs (services/ingest/mta). All tables here are written by services/ingest alone.

-- log_source: a host whose MTA's log was ingested. It numbers no lines, so whether one is missing cannot be known, and
-- it has no row in log_boot. `boot` stands in the rows of its mail where a gateway's boot stands.
create table log_source (
  tenant_id text not null references tenant,
  source text not null,
  host text not null,
  node text not null,
  boot uuid not null,
  newest_at timestamptz not null,
  primary key (tenant_id, source, host)
);

-- log_source_thread: the lines of a message or session that is not finished, or whose beginning stands in a file that
-- was not read yet; [[milliseconds, line, is its own], …]. They are read again with the next file.
create table log_source_thread (
  tenant_id text not null references tenant,
  source text not null,
  thread text collate "C" not null,
  has_beginning boolean not null,
  host text not null,
  lines jsonb not null,
  primary key (tenant_id, source, thread, has_beginning)
);

-- log_source_file: how far a file is read that is followed. It is the same file if its first head_bytes are the same.
create table log_source_file (
  tenant_id text not null references tenant,
  source text not null,
  path text not null,
  head_digest bytea not null,
  head_bytes bigint not null,
  position_bytes bigint not null,
  updated_at timestamptz not null default now(),
  primary key (tenant_id, source, path)
);

-- not-understood: a line of another MTA's log that its adapter cannot read. Position 0: a line is kept once, whatever
-- file it stands in.
alter table rejected_line drop constraint rejected_line_reason;
alter table rejected_line add constraint rejected_line_reason check (reason in
  ('torn', 'not-utf8', 'not-json', 'too-long', 'schema', 'schema-version', 'wrong-tenant', 'no-header',
   'time-out-of-range', 'conflict', 'row', 'not-understood'));

do $$
begin
  if not exists (select from pg_roles where rolname = 'tollgate_run') then return; end if;
  grant select, insert, update on log_source to tollgate_run;
  grant select, insert, update, delete on log_source_thread, log_source_file to tollgate_run;
end
$$;
