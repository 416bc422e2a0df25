"""What crosses from a gateway to the control plane: every message, how often, and each of its fields (pure).

`scripts/samples` prints a record and writes `docs/boundary.md` from the models that the code itself uses.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

import orjson
from pydantic import BaseModel

from shared.field_texts import field_texts
from shared.models import record
from shared.models.record import Record
from shared.protocol import batch, enrolment, heartbeat, request
from shared.protocol.drop import Drop

SAMPLE = Record(
    id="lg_01a1fd9234a03f51c09d7744e7a1c2b0",
    started_at_ms=1_795_255_579_808,
    mode="standard",
    workspace="ws_1",
    api_key="ak_1",
    door="chat",
    stream=False,
    lease=7,
    way="config",
    config="cf_1",
    config_revision=3,
    virtual_key="vk_1",
    provider="acme",
    model="acme-large",
    target="config.targets[0]",
    status=200,
    provider_status=200,
    ending="complete",
    error=None,
    attempt_count=1,
    retry_count=0,
    fallback_count=0,
    unsettled_count=0,
    attempts=[("config.targets[0]", "acme", "acme-large", "vk_1", 200, None, 350, 412_000)],
    decision=[("config", "weight", 0)],
    cache="disabled",
    usage="provider",
    input_tokens=1_200,
    output_tokens=80,
    cache_read_tokens=200,
    cache_write_tokens=None,
    reasoning_tokens=None,
    audio_input_tokens=None,
    audio_output_tokens=None,
    price="acme/acme-large@2026-11-21",
    price_adjustment=None,
    cost_picousd=213_000_000,
    cost_input_picousd=150_000_000,
    cost_output_picousd=48_000_000,
    cost_cache_read_picousd=15_000_000,
    cost_cache_write_picousd=0,
    cost_reasoning_picousd=0,
    cost_audio_picousd=0,
    duration_us=412_700,
    receive_us=120,
    provider_us=412_000,
    first_byte_us=412_650,
    overhead_us=530,
    request_bytes=5_400,
    response_bytes=640,
    retry_after_s=None,
    user="9f86d081884c7d659a2feaa0c55ad015",
    metadata={"team": "search"},
    trace_id=None,
    span_id=None,
)
"""A record as a gateway sends it."""


@dataclass(frozen=True, slots=True)
class Message:
    """Something a node sends."""

    path: str
    what: str
    often: str
    fields: tuple[tuple[str, str], ...]
    """Names, `a[].b` for those of a list's items, and what they are."""


def messages() -> tuple[Message, ...]:
    """Everything a gateway sends to the control plane; nothing else leaves it."""
    return (
        Message(
            "headers of every request",
            "Who asks, and the proof of it",
            "with every request below",
            (
                (request.NODE, "Id of the node"),
                (request.TIME, "The node's clock, ms since 1970"),
                (request.NONCE, "Random, used once"),
                (request.SIGNATURE, "Ed25519 by the node's own key over method, path, body and the above"),
            ),
        ),
        Message(
            enrolment.PATH,
            "A node makes itself known",
            "once in the node's life",
            tuple(_fields(enrolment.EnrolRequest)),
        ),
        Message(
            heartbeat.HEARTBEAT_PATH,
            "How far the node's configuration is, and how it is",
            "every 30 s (± 10 %), and within about a second of a change applied or a resource refused",
            tuple(_fields(heartbeat.Heartbeat)),
        ),
        Message(
            heartbeat.WATCH_PATH,
            "A question that waits for news",
            f"held open all the time, {heartbeat.WAIT_S_MAX} s at most each",
            tuple(_fields(heartbeat.Watch)),
        ),
        Message(
            batch.PATH,
            "Records of requests, in batches",
            f"about a second after a call has ended, {batch.ROWS_MAX:,} records at most each",
            (
                *_fields(batch.Head),
                *((f"rows[].{name}", text) for name, text in record.described().items()),
                *_fields(Drop, "drops[]."),
            ),
        ),
    )


def sample() -> str:
    """A record as JSON with the names of its fields. In a batch the names stand once, and rows hold the values."""
    return orjson.dumps(SAMPLE._asdict(), option=orjson.OPT_INDENT_2).decode()


def document() -> str:
    """The text of `docs/boundary.md`."""
    parts = [_HEAD]
    for message in messages():
        parts.append(
            f"\n## `{message.path}`\n\n{message.what}: {message.often}.\n\n| field | what it is |\n| --- | --- |\n"
        )
        parts += [f"| `{name}` | {text} |\n" for name, text in message.fields]
    parts.append(f"\n## A record\n\nPrinted by `./scripts/samples`.\n\n```json\n{sample()}\n```\n")
    return "".join(parts)


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    texts = field_texts(model)
    for name, info in model.model_fields.items():
        yield prefix + name, texts.get(name, "").replace("\n", " ")
        for inner, many in _models_in(info.annotation, many=False):
            yield from _fields(inner, f"{prefix}{name}{'[]' if many else ''}.")


def _models_in(annotation: Any, *, many: bool) -> Iterator[tuple[type[BaseModel], bool]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, many
    for part in get_args(annotation):
        yield from _models_in(part, many=many or getattr(annotation, "__origin__", None) in (list, tuple))


_HEAD = """# What crosses the boundary

Written by `./scripts/samples --write` from the models in `shared/`: a field that is not here is not sent. A gateway
opens every connection itself; nothing of what callers send or models answer is in any of these messages.

**What a record can hold.** It is an allow-list: typed fields of ids, words of our own, counts, times and money. What
could be a text of the caller's is told in these forms only: a model's name that looks like one; a trace or span id
that is one; metadata of the keys that the workspace's setting `metadata_keys` names; an end user as a pseudonym.

**Pseudonyms are not anonymous.** In the mode `standard` an end user (`user` of a body, or `_user` of metadata) is told
as HMAC-SHA256 under a key that is born in the gateway's first node and that the control plane never has. Whoever holds
the key can tell who is who; in law that is personal data still.

**The mode `anonymous`**, a workspace's setting `record_mode`, leaves out API key, user, metadata, trace and span ids;
gives the time as the minute (in the record's id too, so it is not the id that the caller got), and tokens, bytes
and costs as two digits. Workspace, config, virtual key, provider and model are told, and so are durations. It is not
k-anonymous: a workspace with one user has that user's calls in it.

**Content.** This version keeps no logs of it, neither here nor there.
"""
