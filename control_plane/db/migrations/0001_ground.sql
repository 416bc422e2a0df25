-- The ground: organisations, people, nouns, and what travels to gateways.
--
-- Every row that belongs to an organisation names it. Row-level security, forced also on the tables' owner, is the
-- second net below the application's own predicates: a transaction sees the organisation it was opened for, or, where
-- its scope is `instance` (login, enrolment, sync, instance commands), all of them.
--
-- A column `…_sealed` holds a GHE1 envelope under the organisation's data key; beside it stands that key's version.
-- Ids are made in Python. Times are the database's.

create function in_scope(owner text) returns boolean
    language sql stable parallel safe
    return owner = current_setting('gatehouse.organisation', true)
        or current_setting('gatehouse.scope', true) = 'instance';

-- Instance ------------------------------------------------------------------------------------------------------------

create table instance (
    only_one      boolean primary key default true check (only_one),
    catalogue     text,                      -- digest of the model and provider catalogue last seeded
    first_run     bytea                      -- SHA-256 of the one-use code that makes the first owner; null once used
);
insert into instance default values;

create table organisation (
    id               text primary key,
    name             text not null check (length(name) between 1 and 200),
    database         text not null default 'main',   -- which database holds it; one today
    hash_key_sealed  bytea not null,         -- key of the API keys' keyed hash
    hash_key_version int not null,
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now()
);

create table data_key (
    organisation     text not null,          -- an organisation, or 'instance'
    version          int  not null check (version > 0),
    wrapped          bytea not null,         -- by the KMS, with the encryption context of data_keys.py
    kms_key          text not null,          -- which KMS key wrapped it
    created_at       timestamptz not null default now(),
    primary key (organisation, version)
);

-- People --------------------------------------------------------------------------------------------------------------

create table account (
    id               text primary key,
    email            text not null check (email = lower(email)),
    name             text not null,
    password_hash    text not null,
    created_at       timestamptz not null default now(),
    unique (email)
);

create table member (
    organisation     text not null references organisation on delete cascade,
    account          text not null references account on delete cascade,
    role             text not null check (role in ('owner', 'admin', 'member')),
    created_at       timestamptz not null default now(),
    primary key (organisation, account)
);
create index on member (account);

create table session (
    token_hash       bytea primary key,      -- SHA-256 of the cookie, from which the CSRF token is derived
    account          text not null references account on delete cascade,
    organisation     text not null,
    created_at       timestamptz not null default now(),
    seen_at          timestamptz not null default now(),
    expires_at       timestamptz not null,
    foreign key (organisation, account) references member on delete cascade
);
create index on session (organisation, account);

create table invitation (
    id               text primary key,
    organisation     text not null references organisation on delete cascade,
    token_hash       bytea not null unique,  -- SHA-256
    email            text not null check (email = lower(email)),
    role             text not null check (role in ('owner', 'admin', 'member')),
    workspaces       jsonb not null default '[]',   -- [{"workspace": id, "role": …}]
    invited_by       text not null,
    created_at       timestamptz not null default now(),
    expires_at       timestamptz not null,
    accepted_at      timestamptz
);
create index on invitation (organisation, created_at);

create table admin_key (
    id               text primary key,
    organisation     text not null references organisation on delete cascade,
    name             text not null check (length(name) between 1 and 200),
    hash             bytea not null unique,  -- SHA-256; the key has 256 random bits
    tail             text not null,          -- its last four characters
    scopes           text[] not null,
    created_by       text not null,
    created_at       timestamptz not null default now(),
    expires_at       timestamptz,
    revoked_at       timestamptz
);
create index on admin_key (organisation, created_at);

-- Nouns that gateways are told --------------------------------------------------------------------------------------------

create table workspace (
    id               text primary key,
    organisation     text not null references organisation on delete cascade,
    slug             text not null,
    name             text not null check (length(name) between 1 and 200),
    settings         jsonb not null default '{}',   -- control_plane/workspaces/settings.py
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now(),
    unique (organisation, slug),
    unique (organisation, id)
);

create table workspace_member (
    organisation     text not null,
    workspace        text not null,
    account          text not null,
    role             text not null check (role in ('admin', 'manager', 'member')),
    primary key (workspace, account),
    foreign key (organisation, workspace) references workspace (organisation, id) on delete cascade,
    foreign key (organisation, account) references member on delete cascade
);
create index on workspace_member (organisation, account);

create table api_key (
    id               text primary key,
    organisation     text not null,
    workspace        text not null,
    name             text not null check (length(name) between 1 and 200),
    hash             bytea not null,         -- HMAC-SHA256 under the organisation's hash key
    tail             text not null,
    scopes           text[] not null,
    default_config   text,
    models           text[],
    inline           jsonb not null default '{}',
    expires_at       timestamptz,
    revoked_at       timestamptz,
    created_by       text not null,
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now(),
    unique (organisation, hash),
    foreign key (organisation, workspace) references workspace (organisation, id) on delete cascade
);
create index on api_key (organisation, workspace, created_at);

create table virtual_key (
    id               text primary key,
    organisation     text not null,
    workspace        text not null,
    slug             text not null,
    name             text not null check (length(name) between 1 and 200),
    provider         text not null,
    base_url         text,
    models           text[],
    credential_sealed        bytea not null,
    credential_key_version   int not null,
    credential_travelling    bytea not null, -- GHE1 under the shard key, as it stands inside the resource
    created_by       text not null,
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now(),
    unique (workspace, slug),
    foreign key (organisation, workspace) references workspace (organisation, id) on delete cascade
);
create index on virtual_key (organisation, workspace, created_at);

create table config (
    id               text primary key,
    organisation     text not null,
    workspace        text not null,
    slug             text not null,
    name             text not null check (length(name) between 1 and 200),
    body             jsonb not null,
    created_by       text not null,
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now(),
    unique (workspace, slug),
    foreign key (organisation, workspace) references workspace (organisation, id) on delete cascade
);
create index on config (organisation, workspace, created_at);

create table provider (
    id               text not null,
    organisation     text not null references organisation on delete cascade,
    row              jsonb not null,         -- shared/models/provider.py
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now(),
    primary key (organisation, id)
);

-- The catalogue is the instance's: the same for everybody, seeded from the repository.
create table model (
    provider         text not null,
    name             text not null,
    type             text not null,
    facts            jsonb not null,         -- context sizes, abilities
    primary key (provider, name)
);

create table price (
    provider         text not null,
    model            text not null,
    valid_from       timestamptz not null,
    valid_to         timestamptz,
    amounts          jsonb not null,         -- decimal strings by name and unit: shared/models/price.py
    primary key (provider, model, valid_from),
    foreign key (provider, model) references model on delete cascade
);

-- Gateways ------------------------------------------------------------------------------------------------------------

create table gateway (
    id               text primary key,
    organisation     text not null references organisation on delete cascade,
    name             text not null check (length(name) between 1 and 200),
    workspaces       text[],                 -- ids it may serve; null: all
    lease_sequence   bigint not null default 0,
    key_chain        bytea,                  -- as last made, canonical; sealing it anew would make other bytes
    key_chain_for    text,                   -- digest of what it was made for: nodes, shards, key epochs
    created_by       text not null,
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now(),
    unique (organisation, id)
);

create table data_plane_key (
    organisation     text not null,
    gateway          text not null,
    epoch            int not null check (epoch > 0),
    key_sealed       bytea not null,
    key_version      int not null,
    created_at       timestamptz not null default now(),
    primary key (gateway, epoch),
    foreign key (organisation, gateway) references gateway (organisation, id) on delete cascade
);

create table enrolment_token (
    id               text primary key,
    organisation     text not null,
    gateway          text not null,
    hash             bytea not null unique,  -- SHA-256
    created_by       text not null,
    created_at       timestamptz not null default now(),
    expires_at       timestamptz not null,
    used_at          timestamptz,
    used_by          bytea,                  -- the signing key that used it
    used_again_at    timestamptz,            -- somebody else tried: a stolen token shows
    foreign key (organisation, gateway) references gateway (organisation, id) on delete cascade
);
create index on enrolment_token (organisation, gateway);

create table node (
    id               text primary key,
    organisation     text not null,
    gateway          text not null,
    sign             bytea not null unique,  -- Ed25519, raw public key
    open             bytea not null,         -- X25519, raw public key
    enrolled_at      timestamptz not null default now(),
    revoked_at       timestamptz,
    seen_at          timestamptz,
    heartbeat        jsonb,                  -- the last one's report: have, refused, health, build
    foreign key (organisation, gateway) references gateway (organisation, id) on delete cascade
);
create index on node (organisation, gateway);

create table nonce (
    node             text not null references node on delete cascade,
    nonce            bytea not null,
    at               timestamptz not null default now(),
    primary key (node, nonce)
);
create index on nonce (at);

-- What travels ----------------------------------------------------------------------------------------------------------

create table shard_head (
    shard            text primary key,       -- 'global', 'org:…', 'ws:…'
    organisation     text not null,          -- 'instance' for global
    epoch            int not null default 1,
    revision         bigint not null default 0,
    floor            bigint not null default 0,     -- changes at or below it have been compacted away
    timeline         int not null default 1
);
create index on shard_head (organisation);

create table shard_key (
    shard            text not null references shard_head on delete cascade,
    organisation     text not null,
    epoch            int not null check (epoch > 0),
    key_sealed       bytea not null,
    key_version      int not null,
    created_at       timestamptz not null default now(),
    primary key (shard, epoch)
);

create table resource (
    shard            text not null references shard_head on delete cascade,
    organisation     text not null,
    kind             text not null,
    id               text not null,
    revision         bigint not null,
    deleted          boolean not null default false,
    schema_version   int not null,
    key_epoch        int not null,
    sealed           bytea,                  -- null for a tombstone
    hash             text,                   -- hex SHA-256 of `sealed`
    primary key (shard, kind, id)
);
create index on resource (shard, revision);

create table change (
    shard            text not null references shard_head on delete cascade,
    organisation     text not null,
    revision         bigint not null,
    kind             text not null,
    id               text not null,
    at               timestamptz not null default now(),
    primary key (shard, revision, kind, id)
);

-- Who did what ------------------------------------------------------------------------------------------------------------

create table audit (
    id               text primary key,
    organisation     text not null references organisation on delete cascade,
    workspace        text,
    at               timestamptz not null default now(),
    actor            text not null,          -- account, admin key, or 'instance'
    actor_kind       text not null check (actor_kind in ('account', 'admin_key', 'node', 'instance')),
    action           text not null,          -- as in permissions.py: 'configs.update'
    kind             text not null,
    resource         text not null,
    revision         bigint,                 -- of the shard that the change moved
    before           jsonb,                  -- without secrets
    after            jsonb,
    request_id       text not null
);
create index on audit (organisation, at desc, id desc);
create index on audit (organisation, resource);
create index on audit (actor);

-- The second net ----------------------------------------------------------------------------------------------------------

do $$
declare
    name text;
begin
    foreach name in array array[
        'member', 'session', 'invitation', 'admin_key', 'workspace', 'workspace_member', 'api_key', 'virtual_key',
        'config', 'provider', 'gateway', 'data_plane_key', 'enrolment_token', 'node', 'shard_head', 'shard_key',
        'resource', 'change', 'audit', 'data_key'
    ] loop
        execute format('alter table %I enable row level security', name);
        execute format('alter table %I force row level security', name);
        execute format('create policy tenant on %I using (in_scope(organisation)) with check (in_scope(organisation))', name);
    end loop;
end $$;

alter table organisation enable row level security;
alter table organisation force row level security;
create policy tenant on organisation using (in_scope(id)) with check (in_scope(id));

-- People belong to no organisation. Each sees its members, and who once did something in it; only the ways in write.
alter table account enable row level security;
alter table account force row level security;
create policy instance on account
    using (current_setting('gatehouse.scope', true) = 'instance')
    with check (current_setting('gatehouse.scope', true) = 'instance');
create policy known on account for select using (
    exists (select from member where member.account = account.id)
    or exists (select from audit where audit.actor = account.id and audit.actor_kind = 'account')
);

-- How far the shard of the catalogue has come is no secret: every organisation's nodes are measured by it.
create policy everybody on shard_head for select using (organisation = 'instance');
create policy everybody on change for select using (organisation = 'instance');
