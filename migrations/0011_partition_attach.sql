-- Partitions are attached, not made in place: `create table … partition of` locks the parent against everybody, so it
-- would wait for whoever reads or loads it, and all others would wait behind it. `attach partition` takes a lock that
-- lets them go on; the new table is empty, so there is nothing to check.
create or replace function ensure_partitions(from_time timestamptz, upto_time timestamptz) returns void
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
      continue when to_regclass(format('public.%I', partition_name)) is not null;
      perform pg_advisory_xact_lock(hashtext('tollgate partitions'));
      -- Somebody else may have made it while we waited. Looked up as a row: to_regclass would remember its first answer.
      continue when exists (select from pg_class where relnamespace = 'public'::regnamespace and relname = partition_name);
      execute format('create table %I (like %s including defaults including constraints including storage including compression)',
        partition_name, parent);
      execute format('alter table %s attach partition %I for values from (%L) to (%L)',
        parent, partition_name, month, month + interval '1 month');
    end loop;
    month := month + interval '1 month';
  end loop;
end
$$;

-- One in three transactions ends before its Message-ID is seen: nobody looks for those by it.
drop index mail_transaction_by_message_id;
create index mail_transaction_by_message_id on mail_transaction (tenant_id, message_id) where message_id is not null;
