-- What the running role may do. Append-only tables get no update and no delete; a later migration that adds a
-- table grants for it, in the same file.
do $$
begin
  if not exists (select from pg_roles where rolname = 'tollgate_run') then return; end if;
  grant usage on schema public to tollgate_run;
  grant select on all tables in schema public to tollgate_run;
  grant insert on tenant, log_gap_accepted, ingest_batch, rejected_line, policy_version, gateway_event,
    mail_transaction, transaction_recipient, rule_hit, transaction_detail, delivery_attempt, message_finished,
    session_closed, recipient_name, usage_entry, metered_batch, billing_policy, audit_record to tollgate_run;
  grant insert, update on log_boot, log_segment, client, client_address, network_client to tollgate_run;
  grant insert, update, delete on user_account, login_session to tollgate_run;
  grant execute on function ensure_partitions(timestamptz, timestamptz) to tollgate_run;
end
$$;
