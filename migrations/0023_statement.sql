-- Periods, corrections and statements. All tables here are written by services/billing alone.

-- billing_period: a calendar month of the tenant, stored when it opens, with what its statements are made of once it is
-- cut off. plan is a RatingPlan of services/billing/tariffs; accepted names what was missing and taken as it is.
create table billing_period (
  tenant_id text not null references tenant,
  label text collate "C" not null constraint billing_period_label check (label ~ '^\d{4}-\d{2}$'),
  from_time timestamptz not null,
  upto_time timestamptz not null,
  time_zone text not null,
  unit_bytes bigint not null,
  currency text not null,
  state text not null default 'open' constraint billing_period_state check (state in ('open', 'closing', 'closed')),
  cut_off_at timestamptz,
  cut_off_by text,
  accepted jsonb,
  plan jsonb,
  closed_at timestamptz,
  -- of its statements in their order
  hash text,
  primary key (tenant_id, label),
  unique (tenant_id, from_time),
  constraint billing_period_range check (from_time < upto_time),
  constraint billing_period_is_cut check ((state = 'open') = (cut_off_at is null) and (cut_off_at is null) = (plan is null)),
  constraint billing_period_is_closed check ((state = 'closed') = (closed_at is not null) and (closed_at is null) = (hash is null))
);

-- Open, closing, closed, and never back; what was cut off stays as it was.
create function keep_billing_period() returns trigger
  language plpgsql set search_path = public, pg_temp as $$
begin
  if tg_op = 'DELETE' then
    if old.state <> 'open' then raise exception 'the period % is %: it stays', old.label, old.state; end if;
    return old;
  end if;
  if old.state = 'closed' or (old.state = 'closing' and new.state <> 'closed') or (old.state = 'open' and new.state = 'closed') then
    raise exception 'the period % is %: it does not become %', old.label, old.state, new.state;
  end if;
  if (old.tenant_id, old.label, old.from_time, old.upto_time, old.time_zone, old.unit_bytes, old.currency)
      is distinct from (new.tenant_id, new.label, new.from_time, new.upto_time, new.time_zone, new.unit_bytes, new.currency)
    or (old.state = 'closing' and (old.cut_off_at, old.plan, old.accepted) is distinct from (new.cut_off_at, new.plan, new.accepted)) then
    raise exception 'the period % stays as it was opened', old.label;
  end if;
  return new;
end
$$;
create trigger billing_period_stays before update or delete on billing_period
  for each row execute function keep_billing_period();

-- late_entry: entries that came for a period that was cut off, and the period whose statements show what they change.
-- Written in the transaction that writes the entry.
create table late_entry (
  tenant_id text not null,
  transaction_id uuid not null,
  id_time timestamptz not null,
  recipient_id uuid not null,
  correction bigint not null,
  period text collate "C" not null,
  shown_in text collate "C" not null,
  primary key (tenant_id, transaction_id, id_time, recipient_id, correction),
  constraint late_entry_is_shown_later check (period < shown_in)
);
create index late_entry_by_period on late_entry (tenant_id, shown_in, period);

-- correction: what somebody changed about what is billed, and why; append-only. Its entries take back (2n) and add
-- (2n + 1), n being its number.
create table correction (
  tenant_id text not null references tenant,
  correction_id bigint generated always as identity,
  at timestamptz not null default now(),
  by text not null,
  why text not null,
  kind text not null constraint correction_kind check (kind in ('cancel', 'reassign', 'bill')),
  -- which messages, and for reassign the client
  wanted jsonb not null,
  entry_count bigint not null,
  primary key (tenant_id, correction_id)
);

-- rating: what a period came to for a client, as the statements of `shown_in` have it: its own period at first, later
-- ones where late entries or corrections changed it. Append-only.
create table rating (
  tenant_id text not null,
  period text collate "C" not null,
  shown_in text collate "C" not null,
  client_id text not null,
  -- octets by department, direction and part of the period
  usage jsonb not null,
  lines jsonb not null,
  net_minor numeric not null,
  tax_minor numeric not null,
  primary key (tenant_id, period, shown_in, client_id)
);

-- statement and statement_line: what a client is invoiced for a period; append-only.
create table statement (
  tenant_id text not null,
  statement_id text collate "C" not null,
  period text collate "C" not null,
  client_id text not null,
  net_minor numeric not null,
  tax_minor numeric not null,
  total_minor numeric not null,
  -- some sizes are those of another mail server's queue
  has_queue_sizes boolean not null,
  hash text not null,
  primary key (tenant_id, statement_id),
  unique (tenant_id, period, client_id),
  foreign key (tenant_id, period) references billing_period (tenant_id, label)
);

create table statement_line (
  tenant_id text not null,
  statement_id text collate "C" not null,
  line integer not null,
  kind text not null constraint statement_line_kind check (kind in ('usage', 'reversal', 'replacement')),
  -- the period that a reversal or replacement is about
  of_period text collate "C",
  tariff_id text,
  tariff_version integer,
  component integer,
  component_kind text,
  direction text,
  tier integer,
  -- exact: `n` or `n/d`
  quantity text,
  price text,
  priced_count text,
  amount_minor numeric not null,
  tax_percent text,
  tax_minor numeric not null,
  primary key (tenant_id, statement_id, line),
  foreign key (tenant_id, statement_id) references statement,
  constraint statement_line_of_period check ((kind = 'usage') = (of_period is null))
);

do $$
begin
  if not exists (select from pg_roles where rolname = 'tollgate_run') then return; end if;
  grant select, insert on billing_period, late_entry, correction, rating, statement, statement_line to tollgate_run;
  grant update (state, cut_off_at, cut_off_by, accepted, plan, closed_at, hash) on billing_period to tollgate_run;
end
$$;
