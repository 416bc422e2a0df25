-- What led on in a request's config, step by step: the ids and numbers of what `POST /v1/explain` tells.

alter table record{on_cluster} add column if not exists
    decision Array(Tuple(path String, because String, child Nullable(UInt64))) codec(ZSTD(1)) after attempts;
