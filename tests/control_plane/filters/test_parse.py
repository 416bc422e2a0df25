"""Text to tree and back: what is written means what it says, and what is wrong is told with its place."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from control_plane.filters.faults import FilterFault
from control_plane.filters.fields import Field, Type, Vocabulary
from control_plane.filters.parse import CHARS_MAX, CONDITIONS_MAX, VALUES_MAX, parse
from control_plane.filters.records import VOCABULARY
from control_plane.filters.tree import (
    DAY,
    INSTANT,
    MINUTE,
    SECOND,
    Anything,
    Condition,
    Duration,
    Filter,
    Flag,
    Moment,
    Money,
    Number,
    Prefix,
    StatusClass,
    Text,
    Value,
)
from tests.fixtures.filters import TEXTS, conditions


def one(text: str) -> Condition:
    (condition,) = parse(text, VOCABULARY).conditions
    return condition


def fault(text: str) -> FilterFault:
    with pytest.raises(FilterFault) as caught:
        parse(text, VOCABULARY)
    return caught.value


def test_conditions_stand_between_blanks() -> None:
    filter_ = parse("  model:gpt-4o\tstatus>=400 cost>0.01\nmeta.team=search -key:ci ", VOCABULARY)
    assert [str(condition) for condition in filter_.conditions] == [
        "model:gpt-4o",
        "status>=400",
        "cost>0.01",
        "meta.team=search",
        "-api_key:ci",
    ]
    assert str(filter_) == "model:gpt-4o status>=400 cost>0.01 meta.team=search -api_key:ci"


def test_nothing_is_a_filter_that_everything_passes() -> None:
    assert parse("", VOCABULARY) == parse(" \n", VOCABULARY) == Filter()
    assert not Filter()


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("status:400,429,5xx", (Number(400), Number(429), StatusClass(5))),
        ("status!=200", (Number(200),)),
        ("cost>0.010", (Money(Decimal("0.01")),)),
        ("tokens<=100", (Number(100),)),
        ("duration>2s", (Duration(2_000_000),)),
        ("duration>1.5m", (Duration(90_000_000),)),
        ("overhead>=350us", (Duration(350),)),
        ("latency<2h", (Duration(7_200_000_000),)),
        ("started>2026-11-01", (Moment(datetime(2026, 11, 1, tzinfo=UTC), DAY),)),
        ("started:2026-11-01T10:30", (Moment(datetime(2026, 11, 1, 10, 30, tzinfo=UTC), MINUTE),)),
        ("started<2026-11-01T00:30:00+01:00", (Moment(datetime(2026, 10, 31, 23, 30, tzinfo=UTC), SECOND),)),
        ("started<2026-11-01T10:30:00.25Z", (Moment(datetime(2026, 11, 1, 10, 30, 0, 250_000, UTC), INSTANT),)),
        ("stream:true", (Flag(True),)),
        ("model:gpt-4*", (Prefix("gpt-4"),)),
        ('model:"gpt-4*"', (Text("gpt-4*"),)),
        ("user:*", (Anything(),)),
        ('key:"my \\"own\\" \\\\ key",ci', (Text('my "own" \\ key'), Text("ci"))),
        ('meta.team="a b"*', (Prefix("a b"),)),
        ("model:a:b=c>d!", (Text("a:b=c>d!"),)),
        (r"model:a\b", (Text(r"a\b"),)),
        ('error=""', (Text(""),)),
        ("has:cost", (Anything(),)),
    ],
)
def test_values_are_what_their_field_is(text: str, values: tuple[Value, ...]) -> None:
    assert one(text).values == values
    assert one(str(one(text))) == one(text)


def test_a_field_may_be_called_as_people_call_it() -> None:
    assert [one(text).field.name for text in ("key:x", "vk:x", "ttft>1s", "latency>1s", "completion_tokens>1")] == [
        "api_key",
        "virtual_key",
        "first_byte",
        "duration",
        "output_tokens",
    ]


def test_has_says_that_a_field_is_known() -> None:
    assert one("has:error") == one("error:*")
    assert one("-has:cost") == one("-cost:*")
    assert one('has:meta."my team"') == one('meta."my team":*')


def test_a_metadata_key_in_quotes_may_hold_anything() -> None:
    assert one('meta."a:b \\"c\\"">=x'.replace(">=", "=")).key == 'a:b "c"'
    assert str(one('meta."team":x')) == "meta.team:x"


def test_metadata_is_filtered_by_only_where_there_is_some() -> None:
    with pytest.raises(FilterFault, match="no field"):
        parse("meta.team:x", Vocabulary([Field("name", Type.TEXT)]))


def test_a_field_called_has_is_not_taken_for_the_word() -> None:
    vocabulary = Vocabulary([Field("has", Type.WORD)])
    assert parse("has:x", vocabulary).conditions[0].values == (Text("x"),)


def test_no_two_fields_share_a_name() -> None:
    with pytest.raises(ValueError, match="'a'"):
        Vocabulary([Field("a", Type.TEXT), Field("b", Type.TEXT, aliases=("a",))])


@pytest.mark.parametrize(
    ("text", "position", "told"),
    [
        ("hello", 0, "as `field:hello`"),
        ("cost > 1", 4, "without blanks"),
        ("modell:x", 0, "did you mean `model`"),
        ("status:200 zzzzqq:x", 11, "there are api_key, attempts"),
        (":x", 0, "a field is wanted"),
        ("-", 1, "a field is wanted"),
        ("--model:x", 1, "no field"),
        ("model:", 6, "a value is wanted"),
        ("model:a,", 8, "a value is wanted"),
        ("model:,a", 6, "a value is wanted"),
        ("model>a", 5, "has no order"),
        ("stream>true", 6, "has no order"),
        ("stream:yes", 7, "`true` or `false`"),
        ("status:abc", 7, "a status"),
        ("status:4x", 7, "a status"),
        ("status:0xx", 7, "a status"),
        ("status>4xx", 7, "not a class"),
        ("status:4*", 7, "takes no pattern"),
        ("cost>1e3", 5, "US dollars"),
        ("cost>0.0000000000001", 5, "12 decimals"),
        ("tokens:-1", 7, "a whole number"),
        ("tokens:9223372036854775808", 7, "a whole number"),
        ("tokens:\uff11", 7, "a whole number"),
        ("tokens>1,2", 8, "takes one value"),
        ("duration>2", 9, "with its unit"),
        ("duration>0.5us", 9, "with its unit"),
        ("started>yesterday", 8, "a time"),
        ("started>2026-02-30", 8, "a time"),
        ("started>0001-01-01", 8, "a time"),
        ("started>2026-01-01T25:00", 8, "a time"),
        ("model:a*b", 7, "at the end of a value"),
        ("model:**", 6, "at the end of a value"),
        ("model!=*", 7, "is written `model:*`"),
        ('model:"a', 6, "do not end"),
        ('model:a"b"', 7, "a quote in a value"),
        ('model:"a"b', 9, "a blank or a comma"),
        ('model:"a\\n"', 8, "behind a backslash"),
        ('model:"\\', 7, "behind a backslash"),
        ('model:""', 6, "everything holds the empty text"),
        ('model:""*', 6, "a value is wanted"),
        ("meta.:x", 5, "a metadata key"),
        ("meta:x", 0, "no field"),
        ('meta."x:1', 5, "do not end"),
        (f"meta.{'k' * 129}:x", 0, "at most 128"),
        ("has:nothing", 4, "no field"),
        ("model:a\0", 7, "no NUL"),
        ("model:\ud800", 6, "no NUL"),
    ],
)
def test_a_fault_is_told_with_its_place_and_what_is_wanted(text: str, position: int, told: str) -> None:
    caught = fault(text)
    assert caught.position == position
    assert told in caught.detail
    assert caught.detail.startswith(f"at character {position + 1}: ")
    assert (caught.status, caught.pointer, caught.code) == (400, "filter", "filter_invalid")


def test_there_is_a_limit_on_everything() -> None:
    assert "characters" in fault("model:" + "x" * CHARS_MAX).detail
    parse(" ".join(["tokens:1"] * CONDITIONS_MAX), VOCABULARY)
    assert "conditions" in fault(" ".join(["tokens:1"] * (CONDITIONS_MAX + 1))).detail
    parse("tokens:" + ",".join("1" * VALUES_MAX), VOCABULARY)
    assert "values" in fault("tokens:" + ",".join("1" * (VALUES_MAX + 1))).detail


@given(st.lists(conditions(VOCABULARY), max_size=5).map(lambda found: Filter(tuple(found))))
def test_every_tree_prints_as_what_it_is_parsed_from(filter_: Filter) -> None:
    text = str(filter_)
    if len(text) <= CHARS_MAX:
        assert parse(text, VOCABULARY) == filter_


PIECES = st.sampled_from(
    [*'-:=!<>,*" \\\t.', "model", "meta.", "has:", "status", "4xx", "cost", "0.01", "2s", "2026-11-01", "key", "true"]
)


@given(st.lists(PIECES | TEXTS, max_size=12).map("".join) | st.text(max_size=40))
@example('meta."":x')
@example("-has:-has:x")
def test_whatever_is_written_is_parsed_or_refused_and_what_is_parsed_prints_back(text: str) -> None:
    try:
        filter_ = parse(text, VOCABULARY)
    except FilterFault as refused:
        assert 0 <= refused.position <= len(text)  # noqa: PT017
        return
    assert parse(str(filter_), VOCABULARY) == filter_
    assert str(parse(str(filter_), VOCABULARY)) == str(filter_)
