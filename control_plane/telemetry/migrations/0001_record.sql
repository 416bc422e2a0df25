-- Records of requests, and their roll-ups.
--
-- `record` has a column for each field of `shared/models/record.py` under the same name, and besides them who sent it.
-- Two fields are held as what they are: `started_at_ms` as `started_at`, money (`…_picousd`) as exact US dollars
-- (`…_usd`). A text that is not known is empty, for no id or name can be; a number that is not known is NULL.
--
-- A batch arrives as one block with a deduplication token of its own. That it counts once here AND in each roll-up rests
-- on the deduplication windows of every table below and on the settings of each insert (`telemetry/clickhouse.py`).
--
-- Every statement may run again: what is there stays. {replicated} and {on_cluster} are filled in (`telemetry/migrate.py`).
-- How long rows are kept is a setting, applied at each start (`telemetry/retention.py`).

create table if not exists record{on_cluster} (
    organisation            LowCardinality(String),
    gateway                 LowCardinality(String),
    node                    LowCardinality(String),
    batch_stream            LowCardinality(String),
    batch_seq               UInt64 codec(Delta, ZSTD(1)),
    received_at             DateTime64(3, 'UTC') codec(Delta, ZSTD(1)),
    clamped                 Bool,       -- its own time could not be: `started_at` is when it was received

    id                      String codec(ZSTD(1)),
    started_at              DateTime64(3, 'UTC') codec(DoubleDelta, ZSTD(1)),
    mode                    LowCardinality(String),
    workspace               LowCardinality(String),
    api_key                 LowCardinality(String),
    door                    LowCardinality(String),
    stream                  Bool,
    lease                   Nullable(UInt64) codec(ZSTD(1)),
    way                     LowCardinality(String),
    config                  LowCardinality(String),
    config_revision         Nullable(UInt64) codec(ZSTD(1)),
    virtual_key             LowCardinality(String),
    provider                LowCardinality(String),
    model                   LowCardinality(String),
    target                  LowCardinality(String),
    status                  Nullable(UInt16) codec(ZSTD(1)),
    provider_status         Nullable(UInt16) codec(ZSTD(1)),
    ending                  LowCardinality(String),
    error                   LowCardinality(String),
    attempt_count           UInt64 codec(T64, ZSTD(1)),
    retry_count             UInt64 codec(T64, ZSTD(1)),
    fallback_count          UInt64 codec(T64, ZSTD(1)),
    unsettled_count         UInt64 codec(T64, ZSTD(1)),
    attempts                Array(Tuple(
                                target String, provider String, model String, virtual_key String,
                                status Nullable(UInt16), error String, began_us UInt64, took_us UInt64
                            )) codec(ZSTD(1)),
    cache                   LowCardinality(String),
    usage                   LowCardinality(String),
    input_tokens            Nullable(UInt64) codec(T64, ZSTD(1)),
    output_tokens           Nullable(UInt64) codec(T64, ZSTD(1)),
    cache_read_tokens       Nullable(UInt64) codec(T64, ZSTD(1)),
    cache_write_tokens      Nullable(UInt64) codec(T64, ZSTD(1)),
    reasoning_tokens        Nullable(UInt64) codec(T64, ZSTD(1)),
    audio_input_tokens      Nullable(UInt64) codec(T64, ZSTD(1)),
    audio_output_tokens     Nullable(UInt64) codec(T64, ZSTD(1)),
    price                   LowCardinality(String),
    price_adjustment        LowCardinality(String),
    cost_usd                Nullable(Decimal(18, 12)) codec(ZSTD(1)),
    cost_input_usd          Nullable(Decimal(18, 12)) codec(ZSTD(1)),
    cost_output_usd         Nullable(Decimal(18, 12)) codec(ZSTD(1)),
    cost_cache_read_usd     Nullable(Decimal(18, 12)) codec(ZSTD(1)),
    cost_cache_write_usd    Nullable(Decimal(18, 12)) codec(ZSTD(1)),
    cost_reasoning_usd      Nullable(Decimal(18, 12)) codec(ZSTD(1)),
    cost_audio_usd          Nullable(Decimal(18, 12)) codec(ZSTD(1)),
    duration_us             Nullable(UInt64) codec(T64, ZSTD(1)),
    receive_us              Nullable(UInt64) codec(T64, ZSTD(1)),
    provider_us             Nullable(UInt64) codec(T64, ZSTD(1)),
    first_byte_us           Nullable(UInt64) codec(T64, ZSTD(1)),
    overhead_us             Nullable(UInt64) codec(T64, ZSTD(1)),
    request_bytes           UInt64 codec(T64, ZSTD(1)),
    response_bytes          UInt64 codec(T64, ZSTD(1)),
    retry_after_s           Nullable(UInt64) codec(ZSTD(1)),
    user                    String codec(ZSTD(1)),
    metadata                Map(String, String) codec(ZSTD(1)),
    trace_id                String codec(ZSTD(1)),
    span_id                 String codec(ZSTD(1)),

    index id_seen id type bloom_filter(0.01) granularity 1,
    index user_seen user type bloom_filter(0.01) granularity 1,
    index trace_seen trace_id type bloom_filter(0.01) granularity 1
)
engine = {replicated}MergeTree
partition by toYYYYMM(started_at)
primary key (organisation, started_at)
order by (organisation, started_at, id)
ttl toDateTime(started_at) + toIntervalDay(400)
settings
    non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

-- Sums by minute and by hour; `at` is its beginning. A sum leaves out what is unknown, and beside it stands how many those
-- are. A status of 0 is none. `rescued`: answered well after a retry or a fallback.

create table if not exists record_minute{on_cluster} (
    organisation            LowCardinality(String),
    at                      DateTime('UTC') codec(DoubleDelta, ZSTD(1)),
    workspace               LowCardinality(String),
    gateway                 LowCardinality(String),
    api_key                 LowCardinality(String),
    virtual_key             LowCardinality(String),
    config                  LowCardinality(String),
    provider                LowCardinality(String),
    model                   LowCardinality(String),
    door                    LowCardinality(String),
    status                  UInt16,
    error                   LowCardinality(String),
    ending                  LowCardinality(String),
    cache                   LowCardinality(String),

    requests                SimpleAggregateFunction(sum, UInt64) codec(T64, ZSTD(1)),
    errors                  SimpleAggregateFunction(sum, UInt64) codec(T64, ZSTD(1)),
    streams                 SimpleAggregateFunction(sum, UInt64) codec(T64, ZSTD(1)),
    attempts                SimpleAggregateFunction(sum, UInt64) codec(T64, ZSTD(1)),
    retries                 SimpleAggregateFunction(sum, UInt64) codec(T64, ZSTD(1)),
    fallbacks               SimpleAggregateFunction(sum, UInt64) codec(T64, ZSTD(1)),
    unsettled               SimpleAggregateFunction(sum, UInt64) codec(T64, ZSTD(1)),
    rescued                 SimpleAggregateFunction(sum, UInt64) codec(T64, ZSTD(1)),
    cache_hits              SimpleAggregateFunction(sum, UInt64) codec(T64, ZSTD(1)),
    usage_estimated         SimpleAggregateFunction(sum, UInt64) codec(T64, ZSTD(1)),
    usage_unknown           SimpleAggregateFunction(sum, UInt64) codec(T64, ZSTD(1)),
    cost_unknown            SimpleAggregateFunction(sum, UInt64) codec(T64, ZSTD(1)),
    input_tokens            SimpleAggregateFunction(sum, UInt64) codec(T64, ZSTD(1)),
    output_tokens           SimpleAggregateFunction(sum, UInt64) codec(T64, ZSTD(1)),
    cache_read_tokens       SimpleAggregateFunction(sum, UInt64) codec(T64, ZSTD(1)),
    cache_write_tokens      SimpleAggregateFunction(sum, UInt64) codec(T64, ZSTD(1)),
    reasoning_tokens        SimpleAggregateFunction(sum, UInt64) codec(T64, ZSTD(1)),
    audio_input_tokens      SimpleAggregateFunction(sum, UInt64) codec(T64, ZSTD(1)),
    audio_output_tokens     SimpleAggregateFunction(sum, UInt64) codec(T64, ZSTD(1)),
    cost_usd                SimpleAggregateFunction(sum, Decimal(38, 12)) codec(ZSTD(1)),
    cost_input_usd          SimpleAggregateFunction(sum, Decimal(38, 12)) codec(ZSTD(1)),
    cost_output_usd         SimpleAggregateFunction(sum, Decimal(38, 12)) codec(ZSTD(1)),
    cost_cache_read_usd     SimpleAggregateFunction(sum, Decimal(38, 12)) codec(ZSTD(1)),
    cost_cache_write_usd    SimpleAggregateFunction(sum, Decimal(38, 12)) codec(ZSTD(1)),
    cost_reasoning_usd      SimpleAggregateFunction(sum, Decimal(38, 12)) codec(ZSTD(1)),
    cost_audio_usd          SimpleAggregateFunction(sum, Decimal(38, 12)) codec(ZSTD(1)),
    duration_us             SimpleAggregateFunction(sum, UInt64) codec(T64, ZSTD(1)),
    duration_known          SimpleAggregateFunction(sum, UInt64) codec(T64, ZSTD(1)),
    first_byte_us           SimpleAggregateFunction(sum, UInt64) codec(T64, ZSTD(1)),
    first_byte_known        SimpleAggregateFunction(sum, UInt64) codec(T64, ZSTD(1)),
    overhead_us             SimpleAggregateFunction(sum, UInt64) codec(T64, ZSTD(1)),
    overhead_known          SimpleAggregateFunction(sum, UInt64) codec(T64, ZSTD(1)),
    request_bytes           SimpleAggregateFunction(sum, UInt64) codec(T64, ZSTD(1)),
    response_bytes          SimpleAggregateFunction(sum, UInt64) codec(T64, ZSTD(1))
)
engine = {replicated}AggregatingMergeTree
partition by toYYYYMM(at)
primary key (organisation, at)
order by (organisation, at, workspace, gateway, provider, model, api_key, virtual_key, config, door, status, error,
    ending, cache)
ttl at + toIntervalDay(30)
settings
    non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

create table if not exists record_hour{on_cluster} as record_minute
engine = {replicated}AggregatingMergeTree
partition by toYYYYMM(at)
primary key (organisation, at)
order by (organisation, at, workspace, gateway, provider, model, api_key, virtual_key, config, door, status, error,
    ending, cache)
ttl at + toIntervalDay(1100)
settings
    non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

create materialized view if not exists record_minute_view{on_cluster} to record_minute as
select
    r.organisation as organisation,
    toStartOfMinute(r.started_at) as at,
    r.workspace as workspace,
    r.gateway as gateway,
    r.api_key as api_key,
    r.virtual_key as virtual_key,
    r.config as config,
    r.provider as provider,
    r.model as model,
    r.door as door,
    ifNull(r.status, 0) as status,
    r.error as error,
    r.ending as ending,
    r.cache as cache,
    count() as requests,
    countIf(r.status >= 400 or r.ending in ('refused', 'broken', 'aborted')) as errors,
    countIf(r.stream) as streams,
    sum(r.attempt_count) as attempts,
    sum(r.retry_count) as retries,
    sum(r.fallback_count) as fallbacks,
    sum(r.unsettled_count) as unsettled,
    countIf(r.ending = 'complete' and r.status < 400 and r.retry_count + r.fallback_count > 0) as rescued,
    countIf(r.cache in ('hit', 'semantic_hit')) as cache_hits,
    countIf(r.usage = 'estimated') as usage_estimated,
    countIf(r.usage = 'unknown') as usage_unknown,
    countIf(r.cost_usd is null) as cost_unknown,
    sum(ifNull(r.input_tokens, 0)) as input_tokens,
    sum(ifNull(r.output_tokens, 0)) as output_tokens,
    sum(ifNull(r.cache_read_tokens, 0)) as cache_read_tokens,
    sum(ifNull(r.cache_write_tokens, 0)) as cache_write_tokens,
    sum(ifNull(r.reasoning_tokens, 0)) as reasoning_tokens,
    sum(ifNull(r.audio_input_tokens, 0)) as audio_input_tokens,
    sum(ifNull(r.audio_output_tokens, 0)) as audio_output_tokens,
    sum(ifNull(r.cost_usd, 0)) as cost_usd,
    sum(ifNull(r.cost_input_usd, 0)) as cost_input_usd,
    sum(ifNull(r.cost_output_usd, 0)) as cost_output_usd,
    sum(ifNull(r.cost_cache_read_usd, 0)) as cost_cache_read_usd,
    sum(ifNull(r.cost_cache_write_usd, 0)) as cost_cache_write_usd,
    sum(ifNull(r.cost_reasoning_usd, 0)) as cost_reasoning_usd,
    sum(ifNull(r.cost_audio_usd, 0)) as cost_audio_usd,
    sum(ifNull(r.duration_us, 0)) as duration_us,
    countIf(r.duration_us is not null) as duration_known,
    sum(ifNull(r.first_byte_us, 0)) as first_byte_us,
    countIf(r.first_byte_us is not null) as first_byte_known,
    sum(ifNull(r.overhead_us, 0)) as overhead_us,
    countIf(r.overhead_us is not null) as overhead_known,
    sum(r.request_bytes) as request_bytes,
    sum(r.response_bytes) as response_bytes
from record as r
group by organisation, at, workspace, gateway, api_key, virtual_key, config, provider, model, door, status, error, ending, cache;

create materialized view if not exists record_hour_view{on_cluster} to record_hour as
select
    r.organisation as organisation,
    toStartOfHour(r.started_at) as at,
    r.workspace as workspace,
    r.gateway as gateway,
    r.api_key as api_key,
    r.virtual_key as virtual_key,
    r.config as config,
    r.provider as provider,
    r.model as model,
    r.door as door,
    ifNull(r.status, 0) as status,
    r.error as error,
    r.ending as ending,
    r.cache as cache,
    count() as requests,
    countIf(r.status >= 400 or r.ending in ('refused', 'broken', 'aborted')) as errors,
    countIf(r.stream) as streams,
    sum(r.attempt_count) as attempts,
    sum(r.retry_count) as retries,
    sum(r.fallback_count) as fallbacks,
    sum(r.unsettled_count) as unsettled,
    countIf(r.ending = 'complete' and r.status < 400 and r.retry_count + r.fallback_count > 0) as rescued,
    countIf(r.cache in ('hit', 'semantic_hit')) as cache_hits,
    countIf(r.usage = 'estimated') as usage_estimated,
    countIf(r.usage = 'unknown') as usage_unknown,
    countIf(r.cost_usd is null) as cost_unknown,
    sum(ifNull(r.input_tokens, 0)) as input_tokens,
    sum(ifNull(r.output_tokens, 0)) as output_tokens,
    sum(ifNull(r.cache_read_tokens, 0)) as cache_read_tokens,
    sum(ifNull(r.cache_write_tokens, 0)) as cache_write_tokens,
    sum(ifNull(r.reasoning_tokens, 0)) as reasoning_tokens,
    sum(ifNull(r.audio_input_tokens, 0)) as audio_input_tokens,
    sum(ifNull(r.audio_output_tokens, 0)) as audio_output_tokens,
    sum(ifNull(r.cost_usd, 0)) as cost_usd,
    sum(ifNull(r.cost_input_usd, 0)) as cost_input_usd,
    sum(ifNull(r.cost_output_usd, 0)) as cost_output_usd,
    sum(ifNull(r.cost_cache_read_usd, 0)) as cost_cache_read_usd,
    sum(ifNull(r.cost_cache_write_usd, 0)) as cost_cache_write_usd,
    sum(ifNull(r.cost_reasoning_usd, 0)) as cost_reasoning_usd,
    sum(ifNull(r.cost_audio_usd, 0)) as cost_audio_usd,
    sum(ifNull(r.duration_us, 0)) as duration_us,
    countIf(r.duration_us is not null) as duration_known,
    sum(ifNull(r.first_byte_us, 0)) as first_byte_us,
    countIf(r.first_byte_us is not null) as first_byte_known,
    sum(ifNull(r.overhead_us, 0)) as overhead_us,
    countIf(r.overhead_us is not null) as overhead_known,
    sum(r.request_bytes) as request_bytes,
    sum(r.response_bytes) as response_bytes
from record as r
group by organisation, at, workspace, gateway, api_key, virtual_key, config, provider, model, door, status, error, ending, cache;

-- How long things took, as a histogram by hour: quantiles over any range and of any group are sums of it. A bucket holds
-- the microseconds from exp2(bucket / 16) to exp2((bucket + 1) / 16): what its middle says is off by 2.2 % at most. Of an
-- hour or two, and of dimensions that are not here, quantiles come from `record` itself.

create table if not exists record_spread{on_cluster} (
    organisation            LowCardinality(String),
    measure                 Enum8('duration' = 1, 'first_byte' = 2, 'overhead' = 3),
    at                      DateTime('UTC') codec(DoubleDelta, ZSTD(1)),
    workspace               LowCardinality(String),
    gateway                 LowCardinality(String),
    provider                LowCardinality(String),
    model                   LowCardinality(String),
    door                    LowCardinality(String),
    stream                  Bool,
    cache                   LowCardinality(String),
    bucket                  UInt16 codec(ZSTD(1)),

    requests                SimpleAggregateFunction(sum, UInt64) codec(T64, ZSTD(1))
)
engine = {replicated}AggregatingMergeTree
partition by toYYYYMM(at)
primary key (organisation, measure, at)
order by (organisation, measure, at, workspace, gateway, provider, model, door, stream, cache, bucket)
ttl at + toIntervalDay(1100)
settings
    non_replicated_deduplication_window = 100000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

create materialized view if not exists record_spread_view{on_cluster} to record_spread as
select
    r.organisation as organisation,
    took.1 as measure,
    toStartOfHour(r.started_at) as at,
    r.workspace as workspace,
    r.gateway as gateway,
    r.provider as provider,
    r.model as model,
    r.door as door,
    r.stream as stream,
    r.cache as cache,
    toUInt16(floor(log2(greatest(took.2, 1)) * 16)) as bucket,
    count() as requests
from record as r
array join [('duration', r.duration_us), ('first_byte', r.first_byte_us), ('overhead', r.overhead_us)] as took
where took.2 is not null
group by organisation, measure, at, workspace, gateway, provider, model, door, stream, cache, bucket;
