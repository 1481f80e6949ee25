-- tenant: who runs a gateway. Written by services/database (ensure-tenant.ts). One row a tenant.
-- recipient_key: secret of the keyed hash that names recipients in usage entries (BILLING, Metering).
create table tenant (
  tenant_id text primary key constraint tenant_id_form check (tenant_id ~ '^[a-z0-9][a-z0-9-]{0,31}$'),
  recipient_key bytea not null,
  is_demo boolean not null default false,
  created_at timestamptz not null default now()
);

-- The role that runs is not the role that owns: services switch to it after connecting, so that append-only
-- tables cannot be changed by a mistake of theirs. Where the owner may not create roles, the administrator is
-- told by `tollgate db status`, and the services run as the owner.
do $$
begin
  if not exists (select from pg_roles where rolname = 'tollgate_run') then
    create role tollgate_run nologin;
  end if;
  execute format('grant tollgate_run to %I', current_user);
exception
  when insufficient_privilege then
    raise warning 'role tollgate_run could not be created: services will run as the owner of the tables';
  when duplicate_object or unique_violation then
    null; -- another database of the cluster was migrated at the same moment
end
$$;
