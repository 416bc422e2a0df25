"""From an exchange to its record: each value in its place, unknown never 0, and nothing of what the caller said."""

from dataclasses import replace
from datetime import date
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Code, GatewayError
from gateway.ids import request_ids
from gateway.pipeline import record as record_module
from gateway.pipeline.choose import Reason
from gateway.pipeline.exchange import Attempt, Exchange
from gateway.pipeline.record import Writer, aborted_row, anonymous, row_of
from gateway.providers.base import Call, Door, Passage, Usage
from gateway.view.route import Target
from gateway.view.view import ConfigEntry, ConfigView
from shared.clock import FakeClock
from shared.models.config import ConfigBody
from shared.models.price import Amounts, OwnPrice, Price
from shared.models.record import RECORD, Record
from shared.pricing import PriceTable
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


@pytest.mark.parametrize("attempt", [{"status": 200}, {"error": "upstream_timeout"}])
def test_a_count_of_tokens_costs_nothing_whatever_is_known_of_its_model_s_price(attempt: dict[str, Any]) -> None:
    made = exchange()
    made.door = Door.COUNT_TOKENS
    attempted(made, **attempt)
    made.usage = Usage(0, 0) if "status" in attempt else None
    record = recorded(made)
    assert (record.usage, record.input_tokens, record.output_tokens) == ("none", 0, 0)
    assert (record.cost_picousd, record.unsettled_count) == (0, 0)


def test_an_attempt_given_up_without_a_word_is_counted_as_unsettled() -> None:
    made = exchange()
    attempted(made, error="upstream_timeout")
    attempted(made, sent=False, error="upstream_unreachable")
    attempted(made, status=503)
    attempted(made, status=200)
    made.usage = Usage(input_tokens=1, output_tokens=1)
    assert recorded(made).unsettled_count == 1


def test_a_good_answer_that_was_given_up_is_counted_as_unsettled() -> None:
    """Its status was among those by which a config goes on. What it used is in no count of the record."""
    made = exchange()
    attempted(made, status=200)
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


# The short way ------------------------------------------------------------------------------------------------------


class Spelled:
    """A dialect as far as a record asks it."""

    def user(self, body: dict[str, Any]) -> Any:
        return body.get("spelled")


def a_view(*, is_anonymous: bool = False) -> ConfigView:
    world = World()
    world.workspace(metadata_keys=["team"], record_mode="anonymous" if is_anonymous else "standard")
    amounts = Amounts(input_usd_per_mtok="0.15", output_usd_per_mtok="0.6")
    catalogue = {("sim", "sim-chat"): (Price(valid_from=date(2020, 1, 1), amounts=amounts),)}
    halved = OwnPrice.model_validate(
        {"id": "pr_1", "provider": "acme", "valid_from": "2020-01-01", "multiplier": "0.5"}
    )
    catalogue["acme", "acme/ü%s"] = catalogue["sim", "sim-chat"]
    agreed = OwnPrice.model_validate(
        {"id": "pr_2", "provider": "sim", "model": "other", "valid_from": "2020-01-01", "amounts": amounts}
    )
    return replace(world.view(), prices=PriceTable(catalogue, [halved, agreed]))


VIEWS = (a_view(), a_view(is_anonymous=True))
CONFIGS = (None, *(ConfigEntry(id_, 7, "c", ConfigBody(), None) for id_ in ('cf_1"\\', "cf_é")))
COUNT = st.none() | st.integers(0, 300)
SECONDS = st.sampled_from((10.0, 10.0000004, 10.0000005, 10.25)) | st.floats(10, 11)
USAGE = st.builds(
    Usage,
    input_tokens=COUNT,
    output_tokens=COUNT,
    cache_read_tokens=COUNT,
    cache_write_tokens=st.none() | COUNT,
    reasoning_tokens=COUNT,
    audio_input_tokens=st.none() | st.just(0),
    audio_output_tokens=st.none() | st.just(0),
    estimated=st.booleans(),
    batch=st.sampled_from((False, False, True)),
    unpriced=st.sampled_from((False, False, True)),
    tiered=st.booleans(),
)
LABELS = {"x-portkey-trace-id": "t-1", "x-portkey-span-id": "s.1", "x-portkey-metadata": '{"team": "a", "_user": "b"}'}


def mostly(*values: Any) -> st.SearchStrategy[Any]:
    """The first of them, and each other now and then."""
    return st.sampled_from((*[values[0]] * 24, *values[1:]))


@st.composite
def exchanges(draw: st.DrawFn) -> Exchange:
    """As the corridor leaves them at their end; nearly all as most are."""
    view = draw(mostly(*VIEWS))
    raw = b"{}" * draw(st.integers(0, 99))
    headers = {name: LABELS[name] for name in draw(st.lists(mostly(*LABELS), max_size=2, unique=True))}
    made = Exchange(f"lg_{draw(st.integers(0, 2**128 - 1)):032x}", draw(mostly(*Door)), headers, raw, 10.0)
    made.view, made.received_s = draw(mostly(view, None)), draw(mostly(10.01, None, 10.0))
    made.caller = draw(mostly(*view.callers.values(), None))
    user = draw(mostly(None, "", "ada", 'ü"%', 7, ["x"]))
    dialect: Any = draw(mostly(None, Spelled()))
    call = Call(made.door, raw, {"user": user, "spelled": "grace"}, draw(st.booleans()), dialect=dialect)
    made.call = draw(mostly(call, None))
    made.way, made.config = draw(mostly("default_config", "alias", None)), draw(st.sampled_from(CONFIGS))
    for slug in draw(mostly(["main"], [], ["second", "second"], ["second"], ["main", "second"])):
        came = draw(SECONDS)
        made.attempts.append(
            Attempt(
                target(view, slug, draw(mostly("config", 'config.ü"'))),
                draw(mostly("sim-chat", "acme/ü%s", "say this", "other")),
                came,
                draw(mostly(came, None, came + draw(SECONDS))),
                draw(mostly(200, None, 201, 503)),
                draw(mostly(None, "upstream_broken")),
                draw(mostly(True, False)),
                draw(mostly(None, 0.0, 1.5)),
            )
        )
    made.why = draw(mostly(None, [], [Reason("config", "weight", 1)]))
    made.cache, made.fallbacks, made.retries = draw(mostly("disabled", "miss")), draw(mostly(0, 1)), draw(mostly(0, 1))
    made.cached = draw(mostly(None, *made.attempts))
    made.passage = draw(mostly(None, Passage(Door.FILES, "GET", "files")))
    made.paused_s, made.let_go_bytes = draw(mostly(0.0, 0.5)), draw(mostly(0, 999))
    made.status, made.error = draw(mostly(200, None, 500)), draw(mostly(None, "provider_error"))
    made.usage, made.first_byte_s = (
        draw(mostly(USAGE, st.none()).flatmap(lambda usage: usage)),
        draw(mostly(None, 10.2)),
    )
    made.bytes_out, made.ending = draw(st.integers(0, 2**33)), draw(mostly("complete", "broken", None))
    if draw(mostly(True, False)):
        made.told()
    return made


def named(user: str) -> str | None:
    return None if user == 'ü"%' else user[::-1]


@given(st.lists(st.tuples(exchanges(), st.floats(9, 20)), max_size=6))
def test_the_short_way_writes_what_the_long_way_does(ended: list[tuple[Exchange, float]]) -> None:
    writer = Writer()
    for made, now_s in ended:
        expected = orjson.dumps(row_of(made, now_s, named))
        assert writer.record(made, now_s, named) == expected
        assert writer.record(made, now_s, named) == expected  # From what is kept.


def plain() -> Exchange:
    made = exchange()
    attempted(made, status=200)
    made.usage, made.ending, made.status = Usage(3, 5, 0), "complete", 200
    made.told()
    return made


def changes() -> list[tuple[str, Any]]:
    """Each field that what is kept may rest on, and another value of it."""
    return [
        ("door", Door.RESPONSES),
        ("way", "alias"),
        ("config", CONFIGS[1]),
        ("status", 201),
        ("ending", "broken"),
        ("error", "provider_error"),
        ("retries", 1),
        ("fallbacks", 1),
        ("cache", "miss"),
        ("usage", Usage(3, 5, estimated=True)),
    ]


@pytest.mark.parametrize(("name", "value"), changes())
def test_what_is_kept_is_not_taken_for_what_differs(name: str, value: Any) -> None:
    writer, made = Writer(), plain()
    before = writer.record(made, 11.0, named)
    setattr(made, name, value)
    after = writer.record(made, 11.0, named)
    assert after == orjson.dumps(row_of(made, 11.0, named)) != before
    assert len(writer._kept) == 2


def test_what_is_kept_of_records_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_module, "_KEPT_MAX", 3)
    writer = Writer()
    for number in range(10):
        made = plain()
        made.attempts[0].model = f"model-{number}"
        assert orjson.loads(writer.record(made, 11.0, named)) == orjson.loads(orjson.dumps(row_of(made, 11.0, named)))
        assert len(writer._kept) <= 3


def test_what_is_kept_holds_names_and_numbers_and_no_configuration() -> None:
    writer = Writer()
    writer.record(plain(), 11.0, named)
    ((key, parts),) = writer._kept.items()
    assert {type(value) for value in key} <= {str, Door, int, bool, type(None)}
    assert {type(part) for part in parts} == {msgspec.Raw}


@pytest.mark.parametrize("model", ["say this", "m" * 201])
def test_what_is_no_model_s_name_is_not_kept(model: str) -> None:
    writer, made = Writer(), plain()
    made.attempts[0].model = model
    assert writer.record(made, 11.0, named) == orjson.dumps(row_of(made, 11.0, named))
    assert not writer._kept


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**80 - 1))
def test_an_id_is_its_time_and_its_chance_in_hexadecimal(wall_ms: int, chance: int) -> None:
    assert request_ids(FakeClock(wall_ms), lambda _: chance)() == f"lg_{wall_ms:012x}{chance:020x}"


@pytest.mark.parametrize(("name", "told"), [("m" * 200, True), ("m" * 201, False), ("m" * 1_000_000, False)])
def test_a_model_s_name_is_told_and_remembered_up_to_what_a_name_may_have(name: str, told: bool) -> None:
    remembered = record_module._name_of_model.cache_info().currsize
    assert record_module._model(name) == (name if told else None)
    assert record_module._name_of_model.cache_info().currsize <= remembered + told


@pytest.mark.parametrize(
    ("model", "usage", "price"),
    [
        ("sim-chat", Usage(9, 2), "sim/sim-chat@2020-01-01"),
        ("sim-chat", Usage(9, 2, unpriced=True, tiered=True), None),
        ("other", Usage(9, 2, unpriced=True, tiered=True), "pr_2"),
        ("other", Usage(9, 2, unpriced=True), None),
    ],
)
def test_a_tier_of_its_own_price_is_charged_by_amounts_of_the_organisation_s_own(
    model: str, usage: Usage, price: str | None
) -> None:
    made = plain()
    assert made.view is not None
    made.view = replace(made.view, prices=a_view().prices)
    made.attempts[0].model, made.usage = model, usage
    for record in (orjson.loads(Writer().record(made, 11.0, named)), row_of(made, 11.0, named)):
        told = RECORD.validate_json(orjson.dumps(record), strict=True)
        assert (told.price, told.cost_picousd is None) == (price, price is None)
