-- Who may look and change. All tables here are written by services/api alone.

-- user_account: people who log in. password_hash is scrypt in the form `scrypt$N$r$p$salt$hash`.
create table user_account (
  tenant_id text not null references tenant,
  name text not null,
  role text not null constraint user_account_role check (role in ('admin', 'operator', 'accountant', 'viewer', 'client')),
  client_id text,
  password_hash text not null,
  created_at timestamptz not null default now(),
  primary key (tenant_id, name),
  constraint user_account_client_has_client check ((role = 'client') = (client_id is not null))
);

-- login_session: one row a browser that is logged in; the cookie holds the token, the table its sha256.
create table login_session (
  token_hash bytea primary key,
  tenant_id text not null,
  name text not null,
  csrf_token text not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  foreign key (tenant_id, name) references user_account (tenant_id, name) on delete cascade
);
create index login_session_by_expiry on login_session (expires_at);

-- audit_record: every change, every look at the details of a message, every failed login. Append-only.
create table audit_record (
  tenant_id text not null,
  audit_id bigint generated always as identity,
  at timestamptz not null default now(),
  actor text not null,
  action text not null,
  subject text,
  detail jsonb,
  primary key (tenant_id, audit_id)
);
