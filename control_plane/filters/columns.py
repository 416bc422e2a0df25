"""Where the fields of a record stand in ClickHouse: SQL by the name of the field (pure)."""

from collections.abc import Mapping

FAILED = "ifNull(status >= 400 or ending in ('refused', 'broken', 'aborted'), false)"
"""What counts as an error, where a status that there was not is NULL or 0."""
_MODEL_ID = "if(model = '', '', concat(provider, '/', model))"

RECORD: Mapping[str, str] = {
    "id": "id",
    "started": "started_at",
    "workspace": "workspace",
    "api_key": "api_key",
    "virtual_key": "virtual_key",
    "config": "config",
    "gateway": "gateway",
    "node": "node",
    "provider": "provider",
    "model": "model",
    "model_id": _MODEL_ID,
    "door": "door",
    "stream": "stream",
    "status": "status",
    "provider_status": "provider_status",
    "ending": "ending",
    "failed": FAILED,
    "error": "error",
    "cache": "cache",
    "usage": "usage",
    "attempts": "attempt_count",
    "retries": "retry_count",
    "fallbacks": "fallback_count",
    "unsettled": "unsettled_count",
    "tokens": "coalesce(input_tokens + output_tokens, input_tokens, output_tokens)",
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cache_read_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "reasoning_tokens": "reasoning_tokens",
    "audio_input_tokens": "audio_input_tokens",
    "audio_output_tokens": "audio_output_tokens",
    "cost": "cost_usd",
    "price": "price",
    "duration": "duration_us",
    "first_byte": "first_byte_us",
    "provider_time": "provider_us",
    "receive_time": "receive_us",
    "overhead": "overhead_us",
    "request_bytes": "request_bytes",
    "response_bytes": "response_bytes",
    "user": "user",
    "trace": "trace_id",
    "span": "span_id",
    "way": "way",
    "target": "target",
    "mode": "mode",
    "meta": "metadata",
}
"""Of the table `record`."""

SUMS: Mapping[str, str] = {
    name: name for name in "workspace api_key virtual_key config gateway provider model door error ending cache".split()
} | {"status": "nullIf(status, 0)", "failed": FAILED, "model_id": _MODEL_ID}
"""Of `record_minute` and `record_hour`."""

SPREAD: Mapping[str, str] = {
    **{name: name for name in "workspace gateway provider model door stream cache".split()},
    "model_id": _MODEL_ID,
}
"""Of `record_spread`."""

SPREAD_OF_WORKSPACES: Mapping[str, str] = {"workspace": "workspace"}
"""Of `record_spread_workspace`."""
