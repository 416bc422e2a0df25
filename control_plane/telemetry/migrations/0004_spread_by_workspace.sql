-- How long things took, by workspace alone: what the overview asks, of a tenth of the rows that `record_spread` has. It is made
-- from those. Between the statements nothing may be inserted by another control plane.

drop view if exists record_spread_workspace_view{on_cluster};

drop table if exists record_spread_workspace{on_cluster} sync;

create table record_spread_workspace{on_cluster} (
    organisation            LowCardinality(String),
    measure                 Enum8('duration' = 1, 'first_byte' = 2, 'overhead' = 3),
    at                      DateTime('UTC') codec(DoubleDelta, ZSTD(1)),
    workspace               LowCardinality(String),
    bucket                  UInt16 codec(ZSTD(1)),

    requests                SimpleAggregateFunction(sum, UInt64) codec(T64, ZSTD(1))
)
engine = {replicated}AggregatingMergeTree
partition by toYYYYMM(at)
primary key (organisation, measure, at)
order by (organisation, measure, at, workspace, bucket)
ttl at + toIntervalDay(1100)
settings
    non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

insert into record_spread_workspace
select s.organisation, s.measure, s.at, s.workspace, s.bucket, sum(s.requests)
from record_spread as s
group by s.organisation, s.measure, s.at, s.workspace, s.bucket
settings max_partitions_per_insert_block = 0;

create materialized view record_spread_workspace_view{on_cluster} to record_spread_workspace as
select
    s.organisation as organisation,
    s.measure as measure,
    s.at as at,
    s.workspace as workspace,
    s.bucket as bucket,
    sum(s.requests) as requests
from record_spread as s
group by organisation, measure, at, workspace, bucket;
