-- The ledger of records: what nodes have delivered, batch by batch (sync_protocol.md, section 17), and what of it counts.
--
-- The records themselves are in ClickHouse. A batch is decided about here before it goes there, and counted here after it
-- is there: whatever dies in between finds its place again. Nodes and gateways may be gone; what they cost is not.

alter table gateway add column served text[] not null default '{}';
comment on column gateway.served is 'ids of workspaces it might serve once: records of that time still count';

create table record_stream (
    organisation     text not null references organisation on delete cascade,
    gateway          text not null,
    node             text not null,
    stream           text not null,
    last_seq         bigint not null default 0,   -- the last batch that counts
    last_hash        bytea,                       -- SHA-256 of its payload
    records          bigint not null default 0,
    refused          bigint not null default 0,   -- rows
    clamped          bigint not null default 0,   -- records whose own time could not be
    first_at         timestamptz,                 -- when the first batch counted
    last_at          timestamptz,

    -- The batch after it, which has come and may be in ClickHouse: what was decided about it is decided for good.
    pending_hash     bytea,
    pending_at       timestamptz,                 -- when it came first, by the control plane's clock
    pending_forbidden text[],                     -- workspaces whose records in it do not count
    pending_counted  boolean not null default false,  -- the same payload, under another name

    primary key (organisation, gateway, node, stream)
);

-- What counts, by the day (UTC) its requests began.
create table record_day (
    organisation     text not null references organisation on delete cascade,
    gateway          text not null,
    node             text not null,
    stream           text not null,
    day              date not null,
    records          bigint not null,
    cost_usd         numeric(38, 12) not null,    -- of those whose cost is known
    primary key (organisation, gateway, node, stream, day)
);
create index on record_day (organisation, day);

-- Rows that are no records, or of workspaces that the gateway may not serve.
create table record_refused (
    organisation     text not null references organisation on delete cascade,
    gateway          text not null,
    node             text not null,
    reason           text not null,
    count            bigint not null,
    detail           text not null,               -- of the last one: where its fault stands
    last_at          timestamptz not null default now(),
    primary key (organisation, gateway, node, reason)
);

-- Records that nodes lost, as they told it.
create table record_drop (
    organisation     text not null references organisation on delete cascade,
    gateway          text not null,
    node             text not null,
    reason           text not null,
    hour             timestamptz not null,        -- of the last one lost
    count            numeric(38) not null,
    from_at          timestamptz not null,
    to_at            timestamptz not null,
    primary key (organisation, gateway, node, reason, hour)
);

do $$
declare
    name text;
begin
    foreach name in array array['record_stream', 'record_day', 'record_refused', 'record_drop'] loop
        execute format('alter table %I enable row level security', name);
        execute format('alter table %I force row level security', name);
        execute format('create policy tenant on %I using (in_scope(organisation)) with check (in_scope(organisation))', name);
    end loop;
end $$;
