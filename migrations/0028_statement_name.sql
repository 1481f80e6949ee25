-- statement.client_name: the name as it was when the statement was written. A client that is renamed later changes no
-- statement.
alter table statement add column client_name text;
