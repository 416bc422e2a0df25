"""The record of a request: the allow-list of what is told about it, field by field. What is not here cannot be told.

A record holds ids, names of our own making, counts, times and money, and never what a caller sent or a model answered.
The gateway writes its values in the order of the fields; the control plane checks each against its type here.
Durations are microseconds of a clock that only grows, so a clock that is set back or forward changes none of them.
Money is in picodollars (10^-12 US dollars): whole numbers that add up exactly. None is unknown, never 0.
"""

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import ConfigDict, FailFast, Field, StringConstraints, TypeAdapter

from shared.models.noun import Id

INTEGER_MAX = 2**63 - 1
METADATA_KEYS_MAX = 32
METADATA_CHARS_MAX = 128
"""Of a key, and of a value (reference: the original's limit)."""
ATTEMPTS_MAX = 32
"""Attempts told one by one; `attempt_count` counts all."""

Count = Annotated[int, Field(ge=0, le=INTEGER_MAX)]
Word = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,49}$")]
"""A name of our own making. A newer gateway may say one that this build does not know."""
RequestId = Annotated[str, StringConstraints(pattern=r"^lg_[0-9a-f]{32}$")]
Pseudonym = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
MODEL_PATTERN = r"^[A-Za-z0-9@*][A-Za-z0-9._:/@*+,=-]{0,199}$"
TRACE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$"
ModelName = Annotated[str, StringConstraints(pattern=MODEL_PATTERN)]
"""What does not look like a model's name is not told: it is a text of the caller's."""
TargetPath = Annotated[str, StringConstraints(pattern=r"^config(\.targets\[[0-9]{1,4}\]){0,16}$")]
TraceId = Annotated[str, StringConstraints(pattern=TRACE_PATTERN)]
MetadataText = Annotated[str, StringConstraints(max_length=METADATA_CHARS_MAX)]
Status = Annotated[int, Field(ge=100, le=999)]

DECISION_MAX = 64
"""Steps of a decision that are told; a config may have more."""

Reason = tuple[TargetPath, Word, Count | None]
"""One step of a decision: where in the config, why it led on from there, and to which child of it (None: to none)."""
Attempt = tuple[TargetPath, Id, ModelName | None, Id | None, Status | None, Word | None, Count, Count]
"""One attempt: target path, provider, model, virtual key (None: none was stored), the provider's status, the gateway's
error code if it failed otherwise, when it began (us after the request), how long it took to its end or, of a stream, to
its first event (us)."""


class Record(NamedTuple):
    """One request, from its head to its last byte."""

    id: Annotated[RequestId, Field(description="The request's id: in every answer as `x-portkey-request-id`")]
    started_at_ms: Annotated[Count, Field(description="When its head had come: ms since 1970 by the node's clock")]
    mode: Annotated[
        Literal["standard", "anonymous"],
        Field(description="How much is told of it, as its workspace says. `anonymous`: see docs/boundary.md"),
    ]
    workspace: Annotated[Id | None, Field(description="Its workspace; none if no valid key came with it")]
    api_key: Annotated[Id | None, Field(description="Id of the caller's API key, never the key")]
    door: Annotated[Word, Field(description="The API that was called: `chat`, `completions`, `embeddings`, …")]
    stream: Annotated[bool, Field(description="The answer was asked for as a stream")]
    lease: Annotated[Count | None, Field(description="Sequence of the signed configuration it was decided by")]
    way: Annotated[
        Word | None,
        Field(
            description="How its target was named: `config`, `inline_config`, `virtual_key`, `provider`, `model`"
            " (`@slug/model`), `alias`, `listing` (the only virtual key that lists the model), `default_config`"
        ),
    ]
    config: Annotated[Id | None, Field(description="Id of the saved config that applied")]
    config_revision: Annotated[Count | None, Field(description="Its revision, in its workspace's shard")]
    virtual_key: Annotated[Id | None, Field(description="Id of the virtual key of the last target tried")]
    provider: Annotated[Id | None, Field(description="Provider of the last target tried")]
    model: Annotated[
        ModelName | None, Field(description="Model that the last target was asked for; none if it is no model's name")
    ]
    target: Annotated[TargetPath | None, Field(description="Where in the config the last target tried stands")]
    status: Annotated[Status | None, Field(description="HTTP status of the answer; none if none began")]
    provider_status: Annotated[Status | None, Field(description="HTTP status of the last provider that answered")]
    ending: Annotated[
        Word,
        Field(
            description="`complete`; `refused` (the gateway's own error); `broken` (it broke after it had begun);"
            " `left` (the caller did); `aborted` (the process that carried it was killed)"
        ),
    ]
    error: Annotated[
        Word | None,
        Field(description="The gateway's error code, or `provider_error` where a provider's own error was passed on"),
    ]
    attempt_count: Annotated[Count, Field(description="Calls made to providers")]
    retry_count: Annotated[Count, Field(description="Of these, how many repeated one to the same target")]
    fallback_count: Annotated[Count, Field(description="Targets given up before the last one tried")]
    unsettled_count: Annotated[
        Count, Field(description="Calls made to providers that may have cost something and did not say so")
    ]
    attempts: Annotated[
        list[Attempt],
        Field(
            max_length=ATTEMPTS_MAX,
            description="Each call to a provider: target path, provider, model, virtual key, status, error code, began"
            " (us after the start), took (us)",
        ),
    ]
    decision: Annotated[
        list[Reason] | None,
        Field(
            max_length=DECISION_MAX,
            description="What led on in its config, step by step: place in the config, why (`condition`, `default`,"
            " `no_condition`, `weight`, `session`, `cheapest`, `fastest`, `explored`, `breaker_open`,"
            " `all_breakers_open`), which child; none: not known",
        ),
    ]
    cache: Annotated[
        Word,
        Field(
            description="`disabled`, `miss`, `hit`, `refresh`, `semantic_hit`, `semantic_miss`; `replayed`: an earlier"
            " call's answer by its idempotency key"
        ),
    ]
    usage: Annotated[
        Word,
        Field(
            description="Where the token counts are from: `provider`, `estimated` (from bytes seen), `none` (nothing"
            " was used), `unknown`"
        ),
    ]
    input_tokens: Annotated[Count | None, Field(description="All input tokens, cached and audio ones among them")]
    output_tokens: Annotated[Count | None, Field(description="All output tokens, reasoning and audio ones among them")]
    cache_read_tokens: Annotated[Count | None, Field(description="Input tokens read from the provider's own cache")]
    cache_write_tokens: Annotated[Count | None, Field(description="Input tokens written to the provider's own cache")]
    reasoning_tokens: Annotated[Count | None, Field(description="Output tokens spent on thinking")]
    audio_input_tokens: Annotated[Count | None, Field(description="Input tokens that were audio")]
    audio_output_tokens: Annotated[Count | None, Field(description="Output tokens that were audio")]
    price: Annotated[Id | None, Field(description="Id of the price row it was charged by; none: unknown")]
    price_adjustment: Annotated[Id | None, Field(description="Id of the organisation's row whose multiplier applied")]
    cost_picousd: Annotated[Count | None, Field(description="What it cost, picodollars; none: unknown")]
    cost_input_picousd: Annotated[Count | None, Field(description="Part of it: input tokens not counted elsewhere")]
    cost_output_picousd: Annotated[Count | None, Field(description="Part of it: output tokens not counted elsewhere")]
    cost_cache_read_picousd: Annotated[Count | None, Field(description="Part of it: tokens read from a cache")]
    cost_cache_write_picousd: Annotated[Count | None, Field(description="Part of it: tokens written to a cache")]
    cost_reasoning_picousd: Annotated[Count | None, Field(description="Part of it: tokens spent on thinking")]
    cost_audio_picousd: Annotated[Count | None, Field(description="Part of it: audio tokens, in and out")]
    duration_us: Annotated[Count | None, Field(description="From the head to the last byte; none: not known")]
    receive_us: Annotated[Count | None, Field(description="Of it, waiting for the caller's body")]
    provider_us: Annotated[
        Count | None,
        Field(
            description="Of it, waiting for providers until the answer could begin, all attempts and the pauses between"
        ),
    ]
    first_byte_us: Annotated[Count | None, Field(description="From the head to the answer's first byte of content")]
    overhead_us: Annotated[
        Count | None, Field(description="The gateway's own share: first_byte_us less receive_us and provider_us")
    ]
    request_bytes: Annotated[Count, Field(description="Of the caller's body")]
    response_bytes: Annotated[Count, Field(description="Of the answer's body, as written to the caller")]
    retry_after_s: Annotated[Count | None, Field(description="How long the provider asked to wait, seconds")]
    user: Annotated[
        Pseudonym | None,
        Field(description="Pseudonym of the end user named in the request, by a key that never leaves the gateway"),
    ]
    metadata: Annotated[
        dict[MetadataText, MetadataText],
        FailFast(),  # A fault for each of a million keys is a gigabyte.
        Field(max_length=METADATA_KEYS_MAX, description="Metadata of the keys that the workspace declared shareable"),
    ]
    trace_id: Annotated[TraceId | None, Field(description="The caller's trace id, if it brought one that is an id")]
    span_id: Annotated[TraceId | None, Field(description="The caller's span id, likewise")]


FIELDS: tuple[str, ...] = Record._fields
"""In the order in which a record's values are written."""

RECORD: TypeAdapter[Record] = TypeAdapter(Record, config=ConfigDict(defer_build=True))
"""Checks a record's values. Strict use: `RECORD.validate_python(values, strict=True)`. Made when first used: not by a
gateway, which writes records and reads none."""


def described() -> dict[str, str]:
    """What each field is, by its name: the text that docs and tests read."""
    return {name: _description(annotation) for name, annotation in Record.__annotations__.items()}


def _description(annotation: Any) -> str:
    for part in annotation.__metadata__:
        if isinstance(part, type(Field())) and part.description:
            return str(part.description)
    return ""
