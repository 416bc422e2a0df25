"""What records can be filtered by: one table for the list of records, their feed and analytics (pure)."""

from control_plane.filters.fields import Field, Type, Vocabulary
from shared.paths import DIALECT_DOORS, PASSED_DOORS, PROXY

DOORS = tuple(dict.fromkeys([*DIALECT_DOORS.values(), *PASSED_DOORS.values(), PROXY]))

FIELDS = (
    Field("id", Type.WORD, "The request's id, `lg_…`", ("request", "log")),
    Field("started", Type.TIME, "When the request began", ("started_at", "time")),
    Field("workspace", Type.NAME, "Its workspace", ("ws",)),
    Field("api_key", Type.NAME, "The API key it came with", ("key",)),
    Field("virtual_key", Type.NAME, "The virtual key of the last target tried", ("vk",)),
    Field("config", Type.NAME, "The saved config that applied", ("pc",)),
    Field("gateway", Type.NAME, "The gateway that carried it", ("gw",)),
    Field("node", Type.WORD, "The node of the gateway"),
    Field("provider", Type.WORD, "Provider of the last target tried"),
    Field("model", Type.WORD, "Model that the last target was asked for"),
    Field("model_id", Type.WORD, "Provider and model, as the catalogue names them: `provider/model`"),
    Field("door", Type.WORD, "The API that was called", ("endpoint",), DOORS),
    Field("stream", Type.FLAG, "The answer was asked for as a stream"),
    Field("status", Type.STATUS, "HTTP status of the answer", (), ("2xx", "4xx", "5xx")),
    Field("provider_status", Type.STATUS, "HTTP status of the last provider that answered"),
    Field(
        "ending",
        Type.WORD,
        "How it ended",
        (),
        ("complete", "refused", "broken", "left", "aborted"),
    ),
    Field("error", Type.WORD, "The gateway's error code, or `provider_error`"),
    Field(
        "cache",
        Type.WORD,
        "What the gateway's cache said",
        (),
        ("disabled", "miss", "hit", "refresh", "replayed", "semantic_hit", "semantic_miss"),
    ),
    Field("usage", Type.WORD, "Where its token counts are from", (), ("provider", "estimated", "none", "unknown")),
    Field("attempts", Type.COUNT, "Calls made to providers", ("attempt_count",)),
    Field("retries", Type.COUNT, "Of these, repeats to the same target", ("retry_count", "retry")),
    Field("fallbacks", Type.COUNT, "Targets given up before the last one", ("fallback_count", "fallback")),
    Field("unsettled", Type.COUNT, "Calls to providers that may have cost something and did not say so"),
    Field("tokens", Type.COUNT, "Input and output tokens together", ("total_tokens",)),
    Field("input_tokens", Type.COUNT, "All input tokens", ("prompt_tokens",)),
    Field("output_tokens", Type.COUNT, "All output tokens", ("completion_tokens",)),
    Field("cache_read_tokens", Type.COUNT, "Input tokens read from the provider's cache", ("cached_tokens",)),
    Field("cache_write_tokens", Type.COUNT, "Input tokens written to the provider's cache"),
    Field("reasoning_tokens", Type.COUNT, "Output tokens spent on thinking"),
    Field("audio_input_tokens", Type.COUNT, "Input tokens that were audio"),
    Field("audio_output_tokens", Type.COUNT, "Output tokens that were audio"),
    Field("cost", Type.MONEY, "What it cost, US dollars; `-cost:*` finds what has no known price", ("cost_usd",)),
    Field("price", Type.WORD, "The price row it was charged by"),
    Field("duration", Type.DURATION, "From the head to the last byte", ("latency",)),
    Field("first_byte", Type.DURATION, "From the head to the answer's first byte of content", ("ttft",)),
    Field("provider_time", Type.DURATION, "Waiting for providers until the answer could begin"),
    Field("receive_time", Type.DURATION, "Waiting for the caller's body"),
    Field("overhead", Type.DURATION, "The gateway's own share of the time to the first byte"),
    Field("request_bytes", Type.COUNT, "Of the caller's body"),
    Field("response_bytes", Type.COUNT, "Of the answer's body"),
    Field("user", Type.WORD, "Pseudonym of the end user"),
    Field("trace", Type.WORD, "The caller's trace id", ("trace_id",)),
    Field("span", Type.WORD, "The caller's span id", ("span_id",)),
    Field("way", Type.WORD, "How its target was named"),
    Field("target", Type.WORD, "Where in the config the last target tried stands"),
    Field("mode", Type.WORD, "How much is told of it", (), ("standard", "anonymous")),
)

VOCABULARY = Vocabulary(FIELDS, metadata=True)
