-- An organisation's own prices. The catalogue's are in `price`, and the same for everybody.

create table own_price (
    id               text primary key,
    organisation     text not null references organisation on delete cascade,
    provider         text not null,
    model            text,                   -- null: every model of the provider
    valid_from       date not null,          -- from midnight UTC
    amounts          jsonb,                  -- decimal strings by name and unit: shared/models/price.py
    multiplier       text,                   -- a decimal number
    created_by       text not null,
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now(),
    check (amounts is not null or multiplier is not null),
    constraint own_price_day_key unique nulls not distinct (organisation, provider, model, valid_from)
);

alter table own_price enable row level security;
alter table own_price force row level security;
create policy tenant on own_price using (in_scope(organisation)) with check (in_scope(organisation));
