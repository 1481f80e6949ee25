-- Erasing one person's data on request: the address goes, ids, octets and totals stay. The functions belong to the
-- owner; services/database/erasure calls them.

-- erased_address: whose data was erased, by the keyed hash of the address in lower case, in each of its forms. Written
-- by services/database/erasure. Ingest looks here: what happened before erased_at and comes again is stored without it.
create table erased_address (
  tenant_id text not null references tenant,
  address_key uuid not null,
  -- what stands in place of the address: erased-… and its domain, by which totals are counted
  replacement text collate "C" not null,
  erased_at timestamptz not null,
  erased_by text not null,
  finished_at timestamptz,
  primary key (tenant_id, address_key)
);

-- The domain of an erased recipient stays: reports by domain do not change.
alter table recipient_name drop constraint recipient_name_is_whole_or_erased;
alter table recipient_name add constraint recipient_name_has_domain check (address is null or domain is not null);

-- HMAC-SHA256 under the tenant's key, as ingest makes recipient ids of it (RFC 2104; the key has 32 octets).
create function erasure_key(tenant text, address text) returns uuid
  language plpgsql stable security definer set search_path = public, pg_temp as $$
declare
  inner_key bytea;
  outer_key bytea;
  key bytea;
begin
  select recipient_key || decode(repeat('00', 64 - length(recipient_key)), 'hex') into strict key from tenant t where t.tenant_id = erasure_key.tenant;
  inner_key := key;
  outer_key := key;
  for place in 0..63 loop
    inner_key := set_byte(inner_key, place, get_byte(key, place) # 54);
    outer_key := set_byte(outer_key, place, get_byte(key, place) # 92);
  end loop;
  return left(encode(sha256(outer_key || sha256(inner_key || convert_to(address, 'UTF8'))), 'hex'), 32)::uuid;
end
$$;

-- Writes the tombstones of an address, given in lower case in all its forms, the normalised one first. Waits for every
-- batch that is being stored: the next ones see the tombstones. Returns what stands in place of the address.
create function begin_erasure(tenant text, forms text[], actor text) returns text
  language plpgsql security definer set search_path = public, pg_temp as $$
declare
  form text;
  shown text;
begin
  if coalesce(cardinality(forms), 0) = 0 then raise exception 'no address to erase'; end if;
  shown := 'erased-' || left(replace(erasure_key(tenant, forms[1])::text, '-', ''), 12) || substring(forms[1] from '@[^@]*$');
  perform pg_advisory_xact_lock(hashtext('tollgate erasure'), hashtext(tenant));
  foreach form in array forms loop
    if form !~ '^.+@[^@]+$' or form <> lower(form) then raise exception 'no address in lower case: %', form; end if;
    insert into erased_address (tenant_id, address_key, replacement, erased_at, erased_by)
    values (tenant, erasure_key(tenant, form), shown, clock_timestamp(), actor)
    on conflict (tenant_id, address_key) do update
      set erased_at = excluded.erased_at, erased_by = excluded.erased_by, finished_at = null;
  end loop;
  return shown;
end
$$;

-- Finds the address standing by itself: joann@corp.test holds no ann@corp.test.
create function erasure_pattern(forms text[]) returns text
  language sql immutable set search_path = public, pg_temp as $$
  select '(?<![A-Za-z0-9.!#$%&''*+/=?^_`{|}~\u0080-\uffff-])(' || string_agg(regexp_replace(form, '([^[:alnum:]@])', '\\\1', 'g'), '|')
    || ')(?![A-Za-z0-9\u0080-\uffff-]|\.[A-Za-z0-9])'
  from unnest(forms) as form
$$;

-- Every text of a value without the address. Of a message that the person sent or received also what rules and checks
-- quoted of it.
create function erased_json(value jsonb, pattern text, shown text, is_party boolean) returns jsonb
  language plpgsql immutable set search_path = public, pg_temp as $$
begin
  return case jsonb_typeof(value)
    when 'string' then to_jsonb(regexp_replace(value #>> '{}', pattern, shown, 'gi'))
    when 'array' then coalesce((select jsonb_agg(erased_json(item, pattern, shown, is_party) order by place)
      from jsonb_array_elements(value) with ordinality as a(item, place)), '[]')
    when 'object' then coalesce((select jsonb_object_agg(key, case when is_party and key in ('matchedText', 'detail') then 'null'
      else erased_json(item, pattern, shown, is_party) end) from jsonb_each(value) as o(key, item)), '{}')
    else value
  end;
end
$$;

create function erased_event(event jsonb, forms text[], pattern text, shown text) returns jsonb
  language plpgsql immutable set search_path = public, pg_temp as $$
declare
  is_party boolean := coalesce(lower(event ->> 'sender') = any (forms), false) or exists (
    select from jsonb_array_elements(case jsonb_typeof(event -> 'recipients') when 'array' then event -> 'recipients' else '[]' end) r
    where lower(r ->> 'normalized') = any (forms) or lower(r ->> 'address') = any (forms));
begin
  if event ->> 'kind' = 'transaction.ended' then
    if is_party then
      event := event || jsonb_build_object('subject', null, 'headers', '[]'::jsonb, 'attachments', coalesce((
        select jsonb_agg(attachment || '{"name": null}' order by place)
        from jsonb_array_elements(event -> 'attachments') with ordinality as a(attachment, place)), '[]'));
    else
      -- A header that holds the address often holds the name as well.
      event := event || jsonb_build_object('headers', coalesce((
        select jsonb_agg(case when header ->> 'value' ~* pattern then header || jsonb_build_object('value', shown) else header end order by place)
        from jsonb_array_elements(event -> 'headers') with ordinality as h(header, place)), '[]'));
    end if;
  end if;
  return erased_json(event, pattern, shown, is_party);
end
$$;

-- The smallest id of a time: ids of version 7 begin with it.
create function erasure_least_id(at timestamptz) returns uuid
  language sql immutable set search_path = public, pg_temp as $$
  select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

-- Erases an address, whose erasure has begun, from what began in [from_time, upto_time). With is_dry it only counts.
create function erase_messages(tenant text, forms text[], from_time timestamptz, upto_time timestamptz, is_dry boolean)
  returns table (part text, row_count bigint)
  language plpgsql security definer set search_path = public, pg_temp set timezone = 'UTC' as $$
declare
  pattern text := erasure_pattern(forms);
  found_text text := '%' || replace(replace(replace(trim(both '"' from to_jsonb(forms[1])::text), '\', '\\'), '%', '\%'), '_', '\_') || '%';
  shown text;
  first_id uuid := erasure_least_id(from_time);
  last_id uuid := erasure_least_id(upto_time);
  counted bigint;
  parent text;
begin
  if not is_dry then
    select replacement into shown from erased_address e where e.tenant_id = tenant and e.address_key = erasure_key(tenant, forms[1]);
    if shown is null then raise exception 'the erasure has not begun'; end if;
  end if;
  create temporary table if not exists erasure_due (transaction_id uuid, id_time timestamptz, is_party boolean) on commit drop;
  truncate erasure_due;
  insert into erasure_due
  select t.transaction_id, t.id_time, bool_or(t.is_party) from (
    select m.transaction_id, m.id_time, coalesce(lower(m.sender) = any (forms), false) as is_party from mail_transaction m
    where m.tenant_id = tenant and m.transaction_id >= first_id and m.transaction_id < last_id
      and m.id_time >= from_time and m.id_time < upto_time
      and (lower(m.sender) = any (forms) or lower(m.auth_user) = any (forms) or m.reply_text ~* pattern or m.message_id ~* pattern
        or m.subject ~* pattern)
    union all
    select r.transaction_id, r.id_time, true from transaction_recipient r
    where r.tenant_id = tenant and r.transaction_id >= first_id and r.transaction_id < last_id
      and r.id_time >= from_time and r.id_time < upto_time and lower(r.address) = any (forms)
  ) t group by 1, 2;
  select count(*) into counted from erasure_due;
  part := 'messages'; row_count := counted; return next;
  if not is_dry then
    update mail_transaction m set
      sender = regexp_replace(m.sender, pattern, shown, 'gi'),
      auth_user = regexp_replace(m.auth_user, pattern, shown, 'gi'),
      reply_text = regexp_replace(m.reply_text, pattern, shown, 'gi'),
      message_id = regexp_replace(m.message_id, pattern, shown, 'gi'),
      subject = case when due.is_party then null else regexp_replace(m.subject, pattern, shown, 'gi') end
    from erasure_due due
    where m.tenant_id = tenant and m.transaction_id = due.transaction_id and m.id_time = due.id_time
      and m.id_time >= from_time and m.id_time < upto_time;
    update transaction_recipient r set address = shown
    where r.tenant_id = tenant and r.transaction_id >= first_id and r.transaction_id < last_id
      and r.id_time >= from_time and r.id_time < upto_time and lower(r.address) = any (forms);
  end if;
  foreach parent in array array['transaction_detail', 'delivery_attempt', 'message_finished'] loop
    if is_dry then
      execute format('select count(*) from %I d where d.tenant_id = $1 and d.transaction_id >= $2 and d.transaction_id < $3
        and d.id_time >= $4 and d.id_time < $5 and d.event::text ilike any ($6)', parent)
      into counted using tenant, first_id, last_id, from_time, upto_time, array[found_text];
    else
      execute format('update %I d set event = erased_event(d.event, $7, $8, $9) where d.tenant_id = $1
        and d.transaction_id >= $2 and d.transaction_id < $3 and d.id_time >= $4 and d.id_time < $5
        and (d.event::text ilike any ($6) or d.event::text ~* $8)', parent)
      using tenant, first_id, last_id, from_time, upto_time, array[found_text], forms, pattern, shown;
      get diagnostics counted = row_count;
    end if;
    part := case parent when 'transaction_detail' then 'details' when 'delivery_attempt' then 'deliveries' else 'endings' end;
    row_count := counted;
    return next;
  end loop;
  if is_dry then
    select count(*) into counted from session_closed s
    where s.tenant_id = tenant and s.closed_at >= from_time and s.closed_at < upto_time and s.event::text ~* pattern;
  else
    update session_closed s set event = erased_event(s.event, forms, pattern, shown)
    where s.tenant_id = tenant and s.closed_at >= from_time and s.closed_at < upto_time and s.event::text ~* pattern;
    get diagnostics counted = row_count;
  end if;
  part := 'sessions'; row_count := counted; return next;
end
$$;

-- The same in the small tables: names in usage, rejected lines, what gateways told.
create function erase_records(tenant text, forms text[], is_dry boolean) returns table (part text, row_count bigint)
  language plpgsql security definer set search_path = public, pg_temp as $$
declare
  pattern text := erasure_pattern(forms);
  -- Lines may be no UTF-8, so they are compared as octets, those above 127 written out.
  line_pattern text := erasure_pattern(array(select lower(encode(convert_to(form, 'UTF8'), 'escape')) from unnest(forms) form));
  keys uuid[] := array(select erasure_key(tenant, form) from unnest(forms) form);
  shown text;
begin
  select replacement into shown from erased_address e where e.tenant_id = tenant and e.address_key = keys[1];
  if not is_dry and shown is null then raise exception 'the erasure has not begun'; end if;
  part := 'names';
  select count(*) into row_count from recipient_name n where n.tenant_id = tenant and n.address is not null
    and (n.recipient_id = any (keys) or lower(n.address) = any (forms));
  return next;
  part := 'rejected lines';
  select count(*) into row_count from rejected_line l where l.tenant_id = tenant and lower(encode(l.line, 'escape')) ~ line_pattern;
  return next;
  part := 'gateway events';
  select count(*) into row_count from gateway_event g where g.tenant_id = tenant and g.event::text ~* pattern;
  return next;
  part := 'unfinished lines';
  select count(*) into row_count from log_source_thread t where t.tenant_id = tenant and t.lines::text ~* pattern;
  return next;
  if is_dry then return; end if;
  update log_source_thread t set lines = erased_json(t.lines, pattern, shown, false) where t.tenant_id = tenant and t.lines::text ~* pattern;
  update recipient_name n set address = null where n.tenant_id = tenant and n.address is not null
    and (n.recipient_id = any (keys) or lower(n.address) = any (forms));
  update rejected_line l set line = convert_to(shown, 'UTF8'), detail = regexp_replace(l.detail, pattern, shown, 'gi')
  where l.tenant_id = tenant and lower(encode(l.line, 'escape')) ~ line_pattern;
  update gateway_event g set event = erased_event(g.event, forms, pattern, shown) where g.tenant_id = tenant and g.event::text ~* pattern;
  update erased_address set finished_at = clock_timestamp() where tenant_id = tenant and address_key = any (keys);
end
$$;

do $$
begin
  revoke execute on function erasure_key(text, text), begin_erasure(text, text[], text), erase_records(text, text[], boolean),
    erase_messages(text, text[], timestamptz, timestamptz, boolean) from public;
  if not exists (select from pg_roles where rolname = 'tollgate_run') then return; end if;
  grant select on erased_address to tollgate_run;
  grant execute on function begin_erasure(text, text[], text), erase_records(text, text[], boolean),
    erase_messages(text, text[], timestamptz, timestamptz, boolean) to tollgate_run;
end
$$;
