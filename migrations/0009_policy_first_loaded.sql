-- policy_version.first_loaded_at is the earliest time at which the content was loaded, whichever segment arrives
-- first: the role that runs may move it, and nothing else of the row.
do $$
begin
  if not exists (select from pg_roles where rolname = 'tollgate_run') then return; end if;
  grant update (first_loaded_at) on policy_version to tollgate_run;
end
$$;
