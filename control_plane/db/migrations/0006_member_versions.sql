-- When a role was given last: what an edit of it says it was made from.
alter table member add column updated_at timestamptz not null default now();
alter table workspace_member add column updated_at timestamptz not null default now();
