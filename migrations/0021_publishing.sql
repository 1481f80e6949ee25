-- Rule sets as rows: what was published, and what somebody works on. Both tables are written by services/api alone.

-- ruleset_version: one row a publication, never changed. ruleset is self-contained, lists and all; source_text is what
-- was given, with the comments of its author. A version that reverts has the content of the one it goes back to.
create table ruleset_version (
  tenant_id text not null references tenant,
  version bigint not null,
  ruleset_hash text not null,
  ruleset jsonb not null,
  source_text text not null,
  published_at timestamptz not null default clock_timestamp(),
  published_by text not null,
  note text,
  reverts bigint,
  constraint ruleset_version_key primary key (tenant_id, version),
  constraint ruleset_version_counts check (version > 0),
  constraint ruleset_version_reverts check (reverts < version),
  foreign key (tenant_id, reverts) references ruleset_version
);

-- ruleset_draft: one row a tenant, kept when its text is published or dropped, so that a revision never comes twice.
create table ruleset_draft (
  tenant_id text primary key references tenant,
  revision bigint not null,
  -- null: nobody works on one
  source_text text,
  changed_at timestamptz not null default clock_timestamp(),
  changed_by text not null
);

do $$
begin
  if not exists (select from pg_roles where rolname = 'tollgate_run') then return; end if;
  grant select, insert on ruleset_version to tollgate_run;
  grant select, insert, update on ruleset_draft to tollgate_run;
end
$$;
