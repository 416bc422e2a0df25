-- Payloads of batches that count, so that one which comes again under another name does not count again
-- (sync_protocol.md, 17.4). `record_stream` knows the last one of each stream for good; what is here is forgotten in time.

create table record_payload (
    organisation     text not null references organisation on delete cascade,
    gateway          text not null,
    node             text not null,
    hash             bytea not null,              -- SHA-256
    at               timestamptz not null default now(),    -- when it came last
    primary key (organisation, gateway, node, hash)
);
create index on record_payload (at);

insert into record_payload (organisation, gateway, node, hash)
    select organisation, gateway, node, last_hash from record_stream where last_hash is not null
    union
    select organisation, gateway, node, pending_hash from record_stream where pending_counted;

alter table record_payload enable row level security;
alter table record_payload force row level security;
create policy tenant on record_payload using (in_scope(organisation)) with check (in_scope(organisation));
