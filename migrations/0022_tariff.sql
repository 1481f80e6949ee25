-- What traffic costs. All tables here are written by services/billing alone.

-- tariff: a price list by its short name.
create table tariff (
  tenant_id text not null references tenant,
  tariff_id text not null constraint tariff_id_form check (tariff_id ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
  created_at timestamptz not null default now(),
  primary key (tenant_id, tariff_id)
);

-- tariff_version: what it says from a day on; append-only. The newest valid_from not after a time holds for it, of equal
-- ones the highest version. definition is a TariffDefinition of services/contracts.
create table tariff_version (
  tenant_id text not null,
  tariff_id text not null,
  version integer not null,
  valid_from timestamptz not null,
  definition jsonb not null,
  created_by text not null,
  created_at timestamptz not null default now(),
  primary key (tenant_id, tariff_id, version),
  foreign key (tenant_id, tariff_id) references tariff
);

-- tariff_assignment: which tariff a client carries, and when. A department without one belongs to its parent's.
create table tariff_assignment (
  tenant_id text not null,
  client_id text not null,
  tariff_id text not null,
  valid tstzrange not null constraint tariff_assignment_valid_is_half_open check
    (not isempty(valid) and (lower_inc(valid) or lower_inf(valid)) and not upper_inc(valid)),
  assigned_by text not null,
  assigned_at timestamptz not null default now(),
  foreign key (tenant_id, client_id) references client (tenant_id, client_id),
  foreign key (tenant_id, tariff_id) references tariff,
  constraint tariff_assignment_is_one exclude using gist (tenant_id with =, client_id with =, valid with &&)
);

do $$
begin
  if not exists (select from pg_roles where rolname = 'tollgate_run') then return; end if;
  grant select, insert on tariff, tariff_version to tollgate_run;
  -- An assignment that ends gets its end; one that never began goes.
  grant select, insert, update, delete on tariff_assignment to tollgate_run;
end
$$;
