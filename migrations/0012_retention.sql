-- How long what is kept, and the functions of the owner that remove it. The tables here are written by
-- services/database/retention; the rows that go belong to ingest, billing and api, whose role may not delete them.

-- retention_policy: days that a tenant keeps each kind; null: for ever. Entries of usage outlive what may be corrected.
create table retention_policy (
  tenant_id text primary key references tenant,
  detail_days integer constraint retention_policy_detail check (detail_days >= 1),
  subject_days integer constraint retention_policy_subject check (subject_days >= 1),
  message_days integer constraint retention_policy_message check (message_days >= 1),
  total_days integer,
  usage_days integer,
  audit_days integer constraint retention_policy_audit check (audit_days >= 1),
  updated_at timestamptz not null default now(),
  constraint retention_policy_totals_outlive_messages check (total_days is null or total_days >= message_days),
  constraint retention_policy_usage_outlives_corrections check
    (usage_days is null or (usage_days >= 400 and usage_days >= coalesce(message_days, usage_days + 1)))
);

-- retention_removal: what was removed of one month (UTC, by the partitioning time), and when. `days` are the days of
-- ended_at that can no longer be counted from the rows: their totals are kept when rollups are rebuilt.
create table retention_removal (
  tenant_id text not null references tenant,
  removal_id bigint generated always as identity,
  kind text not null constraint retention_removal_kind check (kind in ('details', 'subjects', 'messages', 'usage')),
  month timestamptz not null,
  removed_at timestamptz not null default now(),
  days datemultirange not null default '{}',
  -- batches ingested after this one may have brought rows of the month again
  newest_batch_id bigint not null default 0,
  primary key (tenant_id, removal_id)
);
create index retention_removal_by_month on retention_removal (tenant_id, month, kind);

-- The rollups that were missing. Written by services/rollup, like the others (0008).

-- rolled_metering: the metered batches whose usage entries are in the sums.
create table rolled_metering (
  tenant_id text not null,
  batch_id bigint not null,
  rolled_at timestamptz not null default now(),
  primary key (tenant_id, batch_id)
);

-- rule_message_hour: messages that a rule hit, each counted once however often it hit and by whichever branch.
create table rule_message_hour (
  tenant_id text not null,
  hour timestamptz not null,
  rule_id text collate "C" not null,
  outcome text not null,
  transaction_count bigint not null,
  constraint rule_message_hour_once unique (tenant_id, hour, rule_id, outcome)
);

-- client_hour: usage entries by who pays; client_id null is the house.
create table client_hour (
  tenant_id text not null,
  hour timestamptz not null,
  client_id text,
  is_billable boolean not null,
  transaction_count bigint not null,
  entry_count bigint not null,
  full_bytes bigint not null,
  split_bytes bigint not null,
  constraint client_hour_once unique nulls not distinct (tenant_id, hour, client_id, is_billable)
);

-- The partitioned tables of a kind, in the order in which ingest locks them.
create function retention_tables(kind text) returns text[]
  language sql immutable set search_path = public, pg_temp as $$
  select case kind
    when 'details' then array['rule_hit', 'transaction_detail']
    when 'messages' then array['delivery_attempt', 'mail_transaction', 'message_finished', 'session_closed', 'transaction_recipient']
    when 'usage' then array['usage_entry']
  end
$$;

create function retention_partition(parent text, month timestamptz) returns regclass
  language sql stable set search_path = public, pg_temp set timezone = 'UTC' as $$
  select to_regclass(format('public.%I', parent || '_' || to_char(month, 'YYYY_MM')))
$$;

-- Whether a tenant's policy lets all of a month go.
create function retention_is_past(tenant text, kind text, month timestamptz) returns boolean
  language sql stable set search_path = public, pg_temp set timezone = 'UTC' as $$
  select coalesce((
    select month + interval '1 month' <= now() - make_interval(days => case kind
      when 'details' then least(detail_days, message_days)
      when 'subjects' then subject_days
      when 'messages' then message_days
      when 'usage' then usage_days end)
    from retention_policy where tenant_id = tenant), false)
$$;

-- Batches with rows of the month that are not in usage and totals yet: until they are, nothing of the month may go.
create function retention_is_counted(tenant text, month timestamptz) returns boolean
  language sql stable set search_path = public, pg_temp set timezone = 'UTC' as $$
  select not exists (
    select from ingest_batch b
    where b.tenant_id = tenant and b.from_time < month + interval '1 month' and b.upto_time >= month
      and (not exists (select from rolled_batch r where r.tenant_id = b.tenant_id and r.batch_id = b.batch_id)
        or not exists (select from metered_batch m where m.tenant_id = b.tenant_id and m.batch_id = b.batch_id)
        or not exists (select from rolled_metering r where r.tenant_id = b.tenant_id and r.batch_id = b.batch_id)))
$$;

create function retention_batch_seen(tenant text) returns bigint
  language sql stable set search_path = public, pg_temp as $$
  -- Batches commit in another order than they are numbered.
  select coalesce(max(batch_id), 0) - 1000 from ingest_batch where tenant_id = tenant
$$;

-- Drops the partitions of a kind for one month. 'dropped'; 'uncounted': totals or usage do not hold all of it yet;
-- 'shared': another tenant keeps its rows longer, so that they are to be deleted by delete_expired_rows.
-- Gives up (55P03) where a lock cannot be had at once: neither readers nor ingest wait for retention.
create function drop_expired_month(tenant text, kind text, month timestamptz) returns text
  language plpgsql security definer set search_path = public, pg_temp set timezone = 'UTC' set lock_timeout = '800ms' as $$
declare
  parent text;
  partition regclass;
  messages regclass := retention_partition('mail_transaction', month);
  owner_tenant text;
  owners text[] := '{}';
  has_rows boolean;
  is_first boolean;
  removed jsonb := '{}';
begin
  if month <> date_trunc('month', month) or retention_tables(kind) is null then
    raise exception 'no month of % at %', kind, month;
  end if;
  if not retention_is_past(tenant, kind, month) then
    raise exception 'the policy of % keeps the % of %', tenant, kind, to_char(month, 'YYYY-MM');
  end if;
  -- From here on nothing is added to the month; reading goes on.
  if messages is not null then execute format('lock table %s in share mode', messages); end if;
  for owner_tenant in select t.tenant_id from tenant t order by 1 loop
    is_first := true;
    foreach parent in array retention_tables(kind) loop
      partition := retention_partition(parent, month);
      continue when partition is null;
      execute format('select exists (select from %s where tenant_id = $1)', partition) into has_rows using owner_tenant;
      continue when not has_rows or not is_first;
      is_first := false;
      if not retention_is_past(owner_tenant, kind, month) then return 'shared'; end if;
      owners := owners || owner_tenant;
    end loop;
  end loop;
  foreach owner_tenant in array owners loop
    -- The same lock as rolling and rebuilding take: neither counts a month while it goes.
    perform pg_advisory_xact_lock(hashtext('tollgate rollup'), hashtext(owner_tenant));
    removed := removed || jsonb_build_object(owner_tenant, retention_days(owner_tenant, messages)::text);
  end loop;
  foreach parent in array retention_tables(kind) loop
    if retention_partition(parent, month) is not null then execute format('lock table only %I in access exclusive mode', parent); end if;
  end loop;
  foreach owner_tenant in array owners loop
    if not retention_is_counted(owner_tenant, month) then return 'uncounted'; end if;
  end loop;
  foreach parent in array retention_tables(kind) loop
    partition := retention_partition(parent, month);
    if partition is not null then execute format('drop table %s', partition); end if;
  end loop;
  foreach owner_tenant in array owners loop
    insert into retention_removal (tenant_id, kind, month, days, newest_batch_id)
    values (owner_tenant, kind, month, (removed ->> owner_tenant)::datemultirange, retention_batch_seen(owner_tenant));
  end loop;
  return 'dropped';
end
$$;

-- The days on which messages of a partition ended.
create function retention_days(tenant text, messages regclass) returns datemultirange
  language plpgsql stable set search_path = public, pg_temp set timezone = 'UTC' as $$
declare
  found datemultirange;
begin
  if messages is null then return '{}'; end if;
  execute format('select range_agg(daterange(day, day + 1)) from (
    select distinct (ended_at at time zone ''UTC'')::date as day from %s where tenant_id = $1) ended', messages)
  into found using tenant;
  return coalesce(found, '{}');
end
$$;

-- Deletes at most so many rows a table of one tenant's month, where other tenants still need the partition.
create function delete_expired_rows(tenant text, kind text, month timestamptz, most integer) returns bigint
  language plpgsql security definer set search_path = public, pg_temp set timezone = 'UTC' set lock_timeout = '800ms' as $$
declare
  parent text;
  partition regclass;
  deleted bigint;
  total bigint := 0;
begin
  if month <> date_trunc('month', month) or retention_tables(kind) is null then
    raise exception 'no month of % at %', kind, month;
  end if;
  if not retention_is_past(tenant, kind, month) then
    raise exception 'the policy of % keeps the % of %', tenant, kind, to_char(month, 'YYYY-MM');
  end if;
  perform pg_advisory_xact_lock(hashtext('tollgate rollup'), hashtext(tenant));
  if not retention_is_counted(tenant, month) then return 0; end if;
  insert into retention_removal (tenant_id, kind, month, days, newest_batch_id)
  select tenant, kind, month, retention_days(tenant, retention_partition('mail_transaction', month)), retention_batch_seen(tenant)
  where not exists (
    select from retention_removal r where r.tenant_id = tenant and r.kind = delete_expired_rows.kind
      and r.month = delete_expired_rows.month and r.removed_at > now() - interval '1 day');
  foreach parent in array retention_tables(kind) loop
    partition := retention_partition(parent, month);
    continue when partition is null;
    execute format('delete from %1$s where ctid = any (array(select ctid from %1$s where tenant_id = $1 limit $2))', partition)
    using tenant, most;
    get diagnostics deleted = row_count;
    total := total + deleted;
  end loop;
  return total;
end
$$;

-- Empties the subjects of at most so many messages that began in [from_time, upto_time); how many it emptied.
create function empty_subjects(tenant text, from_time timestamptz, upto_time timestamptz, most integer) returns bigint
  language plpgsql security definer set search_path = public, pg_temp set timezone = 'UTC' as $$
declare
  emptied bigint;
begin
  if not retention_is_past(tenant, 'subjects', date_trunc('month', upto_time - interval '1 microsecond')) then
    raise exception 'the policy of % keeps the subjects of %', tenant, to_char(from_time, 'YYYY-MM');
  end if;
  with due as (
    select transaction_id, id_time from mail_transaction
    where tenant_id = tenant and id_time >= from_time and id_time < upto_time and subject is not null
    order by id_time limit most
  ), narrow as (
    update mail_transaction t set subject = null from due
    where t.tenant_id = tenant and t.transaction_id = due.transaction_id and t.id_time = due.id_time
      and t.id_time >= from_time and t.id_time < upto_time
    returning 1
  ), wide as (
    update transaction_detail d set event = d.event || jsonb_build_object('subject', null, 'headers', coalesce((
      select jsonb_agg(header order by place) from jsonb_array_elements(d.event -> 'headers') with ordinality as h(header, place)
      where lower(header ->> 'name') <> 'subject'), '[]'))
    from due
    where d.tenant_id = tenant and d.transaction_id = due.transaction_id and d.id_time = due.id_time
      and d.id_time >= from_time and d.id_time < upto_time
    returning 1
  )
  select count(*) into emptied from narrow;
  return emptied;
end
$$;

-- Deletes at most so many old rows of each small table: rejected lines and what is kept of batches go with the
-- messages, audit records by a date of their own. How many it deleted.
create function delete_expired_records(tenant text, most integer) returns bigint
  language plpgsql security definer set search_path = public, pg_temp set timezone = 'UTC' as $$
declare
  policy retention_policy;
  deleted bigint;
  total bigint := 0;
  messages_upto timestamptz;
begin
  select * into policy from retention_policy where tenant_id = tenant;
  if policy.audit_days is not null then
    delete from audit_record where tenant_id = tenant and audit_id = any (array(
      select audit_id from audit_record
      where tenant_id = tenant and at < now() - make_interval(days => policy.audit_days) order by audit_id limit most));
    get diagnostics deleted = row_count;
    total := total + deleted;
  end if;
  if policy.message_days is null then return total; end if;
  messages_upto := now() - make_interval(days => policy.message_days);
  delete from rejected_line where tenant_id = tenant and rejected_id = any (array(
    select rejected_id from rejected_line where tenant_id = tenant and rejected_at < messages_upto order by rejected_id limit most));
  get diagnostics deleted = row_count;
  total := total + deleted;
  -- A batch whose rows all lay in months that are gone, and that is counted everywhere.
  with gone as (
    select b.batch_id from ingest_batch b
    join rolled_batch r on r.tenant_id = b.tenant_id and r.batch_id = b.batch_id
    join metered_batch m on m.tenant_id = b.tenant_id and m.batch_id = b.batch_id
    join rolled_metering n on n.tenant_id = b.tenant_id and n.batch_id = b.batch_id
    where b.tenant_id = tenant and b.ingested_at < messages_upto
      and (b.upto_time is null or b.upto_time < date_trunc('month', messages_upto))
      and not exists (select from mail_transaction t where t.tenant_id = b.tenant_id and t.batch_id = b.batch_id)
    order by b.batch_id limit most
  ), batches as (
    delete from ingest_batch where tenant_id = tenant and batch_id in (select batch_id from gone) returning 1
  ), rolled as (
    delete from rolled_batch where tenant_id = tenant and batch_id in (select batch_id from gone) returning 1
  ), metered as (
    delete from metered_batch where tenant_id = tenant and batch_id in (select batch_id from gone) returning 1
  ), rolled_entries as (
    delete from rolled_metering where tenant_id = tenant and batch_id in (select batch_id from gone) returning 1
  )
  select count(*) into deleted from batches;
  return total + deleted;
end
$$;

-- What is rolled already lacks these sums: all is rolled again, from rows that are all still there.
delete from rolled_batch;
delete from traffic_hour;
delete from rule_hour;
delete from recipient_day;
delete from sender_day;

do $$
begin
  revoke execute on function drop_expired_month(text, text, timestamptz), delete_expired_rows(text, text, timestamptz, integer),
    empty_subjects(text, timestamptz, timestamptz, integer), delete_expired_records(text, integer) from public;
  if not exists (select from pg_roles where rolname = 'tollgate_run') then return; end if;
  grant select, insert, update on retention_policy to tollgate_run;
  grant select, insert on retention_removal to tollgate_run;
  grant select, insert, update, delete on rolled_metering, rule_message_hour, client_hour to tollgate_run;
  grant execute on function drop_expired_month(text, text, timestamptz), delete_expired_rows(text, text, timestamptz, integer),
    empty_subjects(text, timestamptz, timestamptz, integer), delete_expired_records(text, integer) to tollgate_run;
end
$$;
