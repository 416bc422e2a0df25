"""From an exchange to its record: each value in its place, unknown never 0, and nothing of what the caller said."""

from typing import Any

import orjson
import pytest
from hypothesis import given

from gateway.errors import Code, GatewayError
from gateway.pipeline.exchange import Attempt, Exchange
from gateway.pipeline.record import aborted_row, anonymous, row_of
from gateway.providers.base import Call, Door, Usage
from gateway.view.route import Target
from gateway.view.view import ConfigView
from shared.models.record import RECORD, Record
from tests.fakes.world import World
from tests.fixtures.records import a_record, records

ID = "lg_0199a5b1c2d300000000000000000001"
CANARY = "canary-7f3a"


def target(view: ConfigView, slug: str, path: str = "config") -> Target:
    (caller,) = view.callers.values()
    virtual_key = caller.workspace.virtual_keys[slug]
    return Target(path, virtual_key.place, virtual_key.adapter, None, slug, virtual_key.id)


def exchange(world: World | None = None, headers: dict[str, str] | None = None, **body: Any) -> Exchange:
    """A call that has been let in and read."""
    view = (world or World()).view()
    (caller,) = view.callers.values()
    raw = orjson.dumps({"model": "sim-chat", **body})
    made = Exchange(ID, Door.CHAT, headers or {}, raw, 10.0)
    made.view, made.caller, made.received_s = view, caller, 10.1
    made.call = Call(Door.CHAT, raw, orjson.loads(raw), stream=True)
    return made


def attempted(made: Exchange, slug: str = "main", **fields: Any) -> Attempt:
    assert made.view is not None
    given = {"model": "sim-chat", "began_s": 10.2, "ended_s": 10.5, **fields}
    attempt = Attempt(target(made.view, slug, given.pop("path", "config")), **given)
    made.attempts.append(attempt)
    return attempt


def recorded(made: Exchange, now_s: float = 11.0, user: str | None = "f" * 32) -> Record:
    return RECORD.validate_json(orjson.dumps(row_of(made, now_s, lambda _: user)), strict=True)


def test_times_are_measured_from_the_head() -> None:
    made = exchange()
    attempted(made, began_s=10.15, ended_s=10.25, status=500)
    attempted(made, "second", began_s=10.3, ended_s=10.5, status=200)
    made.first_byte_s, made.ending = 10.6, "complete"
    record = recorded(made)
    assert (record.duration_us, record.receive_us) == (1_000_000, 100_000)
    assert (record.provider_us, record.first_byte_us) == (300_000, 600_000)
    assert record.overhead_us == 600_000 - 100_000 - 300_000


def test_attempts_are_told_one_by_one_and_the_last_one_names_the_target() -> None:
    made = exchange()
    attempted(made, path="config.targets[0]", status=429, began_s=10.0, ended_s=10.5)
    attempted(made, "second", path="config.targets[1]", error="upstream_timeout", began_s=10.5, ended_s=11.0)
    made.fallbacks, made.ending = 1, "refused"
    record = recorded(made)
    assert (record.provider, record.virtual_key, record.target) == ("acme", "vk-second", "config.targets[1]")
    assert (record.attempt_count, record.fallback_count, record.provider_status) == (2, 1, 429)
    assert record.attempts == [
        ("config.targets[0]", "sim", "sim-chat", "vk-main", 429, None, 0, 500_000),
        ("config.targets[1]", "acme", "sim-chat", "vk-second", None, "upstream_timeout", 500_000, 500_000),
    ]


@pytest.mark.parametrize(
    ("attempt", "usage", "expected"),
    [
        (None, None, ("none", 0, 0, 0, 0)),
        ({"status": 429}, None, ("none", 0, 0, 0, 0)),
        ({"sent": False, "error": "upstream_unreachable"}, None, ("none", 0, 0, 0, 0)),
        ({"error": "upstream_timeout"}, None, ("unknown", None, None, None, 1)),
        ({"status": 200, "error": "upstream_broken"}, None, ("unknown", None, None, None, 1)),
        ({"status": 200}, None, ("unknown", None, None, None, 1)),
        ({"status": 200}, Usage(input_tokens=3), ("provider", 3, None, None, 0)),
        ({"status": 200}, Usage(input_tokens=3, output_tokens=5, estimated=True), ("estimated", 3, 5, None, 0)),
    ],
)
def test_what_cannot_be_known_is_unknown_and_what_was_not_used_is_nothing(
    attempt: dict[str, Any] | None, usage: Usage | None, expected: tuple[Any, ...]
) -> None:
    """The model has no price here, so what was used is of unknown cost."""
    made = exchange()
    if attempt is not None:
        attempted(made, **attempt)
    made.usage = usage
    record = recorded(made)
    assert (
        record.usage,
        record.input_tokens,
        record.output_tokens,
        record.cost_picousd,
        record.unsettled_count,
    ) == expected


def test_an_attempt_given_up_without_a_word_is_counted_as_unsettled() -> None:
    made = exchange()
    attempted(made, error="upstream_timeout")
    attempted(made, sent=False, error="upstream_unreachable")
    attempted(made, status=503)
    attempted(made, status=200)
    made.usage = Usage(input_tokens=1, output_tokens=1)
    assert recorded(made).unsettled_count == 1


def test_a_model_that_is_no_model_s_name_is_not_told() -> None:
    made = exchange()
    attempted(made, model=f"say this: {CANARY}!\n", status=404)
    record = recorded(made)
    assert record.model is None
    assert CANARY not in str(record)


def test_a_user_is_told_by_a_pseudonym_only() -> None:
    assert recorded(exchange(user=CANARY)).user == "f" * 32
    assert recorded(exchange(user=CANARY), user=None).user is None
    assert recorded(exchange(headers={"x-portkey-metadata": '{"_user": "canary"}'})).user == "f" * 32
    assert recorded(exchange(user=["x"])).user is None
    assert recorded(exchange()).user is None


def test_only_declared_metadata_is_told() -> None:
    world = World()
    world.workspace(metadata_keys=["team", "long", "number"])
    given = {"team": "search", "secret": CANARY, "long": "x" * 129, "number": 3, "_user": CANARY}
    record = recorded(exchange(world, {"x-portkey-metadata": orjson.dumps(given).decode()}))
    assert record.metadata == {"team": "search"}
    assert CANARY not in str(record)


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"team": "\ud800"}', "\udcff"])
def test_metadata_that_is_none_is_no_metadata(text: str) -> None:
    world = World()
    world.workspace(metadata_keys=["team"])
    assert recorded(exchange(world, {"x-portkey-metadata": text})).metadata == {}


def test_trace_ids_are_told_if_they_are_ids() -> None:
    headers = {"x-portkey-trace-id": "t-1:a.b", "x-gatehouse-span-id": f"who asks: {CANARY}"}
    record = recorded(exchange(headers=headers))
    assert (record.trace_id, record.span_id) == ("t-1:a.b", None)


def test_an_anonymous_workspace_s_record_holds_no_key_nothing_of_the_caller_s_and_no_second() -> None:
    world = World()
    world.workspace(record_mode="anonymous", metadata_keys=["team"])
    headers = {"x-portkey-metadata": '{"team": "search"}', "x-portkey-trace-id": "t-1"}
    made = exchange(world, headers, user="alice")
    attempted(made, status=200)
    made.usage = Usage(input_tokens=1_234, output_tokens=7)
    record = recorded(made)
    assert record.mode == "anonymous"
    assert (record.api_key, record.user, record.metadata, record.trace_id) == (None, None, {}, None)
    assert (record.input_tokens, record.output_tokens) == (1_200, 7)
    assert record.started_at_ms % 60_000 == 0
    assert record.id == f"lg_{record.started_at_ms:012x}{ID[15:]}"
    assert (record.workspace, record.provider, record.model) == ("w1", "sim", "sim-chat")


def test_a_call_refused_before_anything_is_known_has_a_record_too() -> None:
    made = Exchange(ID, Door.EMBEDDINGS, {}, b"", 10.0)
    made.refused(GatewayError(Code.OVERLOADED, "later"), 42)
    record = recorded(made)
    assert (record.status, record.error, record.ending) == (503, "overloaded", "refused")
    assert (record.workspace, record.lease, record.usage, record.cost_picousd) == (None, None, "none", 0)
    assert (record.receive_us, record.response_bytes) == (None, 42)


def test_a_caller_who_left_has_no_first_byte() -> None:
    record = recorded(exchange())
    assert (record.ending, record.status, record.first_byte_us, record.overhead_us) == ("left", None, None, None)


@pytest.mark.parametrize("is_anonymous", [False, True])
def test_what_a_killed_worker_left_is_a_whole_record(is_anonymous: bool) -> None:
    row = aborted_row(ID, "chat", "ws_1", "ak_1", is_anonymous=is_anonymous)
    record = RECORD.validate_json(orjson.dumps(row), strict=True)
    assert (record.ending, record.usage, record.cost_picousd, record.status) == ("aborted", "unknown", None, None)
    assert record.api_key == (None if is_anonymous else "ak_1")


@given(records())
def test_anonymous_amounts_have_two_digits_and_their_parts_add_up(record: Record) -> None:
    row = list(record)
    made = Record._make(anonymous(row))
    RECORD.validate_json(orjson.dumps(tuple(made)), strict=True)
    for name in ("input_tokens", "output_tokens", "request_bytes", "response_bytes", "cost_input_picousd"):
        amount, given = getattr(made, name), getattr(record, name)
        if given is None:
            assert amount is None
            continue
        assert len(str(amount).rstrip("0")) <= 2
        assert abs(amount - given) * 20 <= given
    if record.cost_picousd is not None:
        parts = [getattr(made, name) for name in Record._fields if name.startswith("cost_") and name != "cost_picousd"]
        assert made.cost_picousd == sum(parts)


def test_no_field_of_the_plain_record_is_left_out() -> None:
    assert set(Record._fields) == set(a_record()._asdict())
