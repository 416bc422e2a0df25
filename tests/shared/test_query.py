"""Every operator of reference/portkey.md 2.4: what it says is so, and what cannot be asked is refused."""

import math
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.field_path import MISSING, find
from shared.query import (
    COMPARISONS_MAX,
    DEPTH_MAX,
    PATTERN_CHARS_MAX,
    SEARCHED_CHARS_MAX,
    Key,
    QueryFaults,
    comparisons_of,
    holds,
    parse_key,
    parse_query,
)


@dataclass
class Request:
    """Metadata and body of a call."""

    metadata: dict[str, Any]
    params: Any
    pathname: str = "/v1/chat/completions"

    def value(self, key: Key) -> Any:
        match key.source:
            case "metadata":
                return self.metadata.get(key.path[0], MISSING)
            case "url":
                return self.pathname
        return find(self.params, key.path)


REQUEST = Request(
    {"plan": "paid", "age": "18", "a.b": "dotted", "empty": ""},
    {
        "model": "gpt-x",
        "temperature": 0.7,
        "n": 1,
        "stream": True,
        "stop": None,
        "tools": [],
        "user": {"tier": "gold", "flags": ["beta"]},
        "messages": [{"role": "user", "content": "Hello"}],
    },
)


def asked(query: Any, request: Request = REQUEST) -> bool:
    return holds(parse_query(query), request)


def faults(query: Any) -> list[tuple[tuple[str | int, ...], str]]:
    with pytest.raises(QueryFaults) as caught:
        parse_query(query)
    return list(caught.value.faults)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        # A bare value and $eq: strict equality, nothing is turned into another type.
        ({"metadata.plan": "paid"}, True),
        ({"metadata.plan": {"$eq": "paid"}}, True),
        ({"metadata.plan": "Paid"}, False),
        ({"metadata.age": 18}, False),
        ({"metadata.lost": "x"}, False),
        ({"metadata.lost": None}, False),
        ({"params.n": 1}, True),
        ({"params.n": 1.0}, True),
        ({"params.n": True}, False),
        ({"params.n": "1"}, False),
        ({"params.stream": True}, True),
        ({"params.stream": 1}, False),
        ({"params.stop": None}, True),
        ({"params.tools": "x"}, False),
        ({"url.pathname": "/v1/chat/completions"}, True),
        ({"url.pathname": "/v1/embeddings"}, False),
        # $ne: true also where nothing is.
        ({"metadata.plan": {"$ne": "free"}}, True),
        ({"metadata.plan": {"$ne": "paid"}}, False),
        ({"metadata.lost": {"$ne": "paid"}}, True),
        ({"params.n": {"$ne": "1"}}, True),
        # $gt $gte $lt $lte: both sides as numbers, if they begin with one.
        ({"params.temperature": {"$gt": 0.5}}, True),
        ({"params.temperature": {"$gt": 0.7}}, False),
        ({"params.temperature": {"$gte": 0.7}}, True),
        ({"params.temperature": {"$lt": 0.7}}, False),
        ({"params.temperature": {"$lte": 0.7}}, True),
        ({"metadata.age": {"$gte": 18}}, True),
        ({"metadata.age": {"$gte": "18 years"}}, True),
        ({"metadata.age": {"$lt": 100}}, True),
        ({"metadata.plan": {"$gt": 0}}, False),
        ({"metadata.plan": {"$lte": 0}}, False),
        ({"metadata.lost": {"$lt": 1}}, False),
        ({"params.stream": {"$gte": 0}}, False),
        ({"params.temperature": {"$gte": 0.5, "$lt": 0.8}}, True),
        ({"params.temperature": {"$gte": 0.5, "$lt": 0.6}}, False),
        # $in and $nin.
        ({"metadata.plan": {"$in": ["free", "paid"]}}, True),
        ({"metadata.plan": {"$in": ["free"]}}, False),
        ({"metadata.plan": {"$in": []}}, False),
        ({"metadata.lost": {"$in": ["free"]}}, False),
        ({"params.n": {"$in": [True, "1"]}}, False),
        ({"metadata.plan": {"$nin": ["free"]}}, True),
        ({"metadata.plan": {"$nin": ["paid"]}}, False),
        ({"metadata.lost": {"$nin": ["paid"]}}, True),
        # $regex: anywhere in a text, case as written.
        ({"metadata.plan": {"$regex": "ai"}}, True),
        ({"metadata.plan": {"$regex": "^ai"}}, False),
        ({"metadata.plan": {"$regex": "PAID"}}, False),
        ({"metadata.plan": {"$regex": "(?i)PAID"}}, True),
        ({"metadata.empty": {"$regex": "^$"}}, True),
        ({"metadata.lost": {"$regex": ""}}, False),
        ({"params.n": {"$regex": "1"}}, False),
        # $and and $or, nested.
        ({"$and": [{"metadata.plan": "paid"}, {"params.n": 1}]}, True),
        ({"$and": [{"metadata.plan": "paid"}, {"params.n": 2}]}, False),
        ({"$or": [{"metadata.plan": "free"}, {"params.n": 1}]}, True),
        ({"$or": [{"metadata.plan": "free"}, {"params.n": 2}]}, False),
        ({"$or": [{"$and": [{"params.n": 1}, {"$or": [{"params.n": 2}, {"metadata.plan": "paid"}]}]}]}, True),
        ({"$and": []}, True),
        ({"$or": []}, False),
        # Several keys, and none.
        ({"metadata.plan": "paid", "params.n": 1}, True),
        ({"metadata.plan": "paid", "params.n": 2}, False),
        ({}, True),
    ],
)
def test_each_operator_says_what_it_should(condition: dict[str, Any], expected: bool) -> None:
    assert asked(condition) is expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"metadata.plan": {"$regex": "^p", "$ne": "paid"}}, False),
        ({"metadata.plan": {"$regex": "^p", "$in": ["paid"]}}, True),
        ({"metadata.age": {"$regex": "8", "$gt": 20}}, False),
    ],
)
def test_conditions_beside_a_regex_count_where_the_original_leaves_them_out(
    condition: dict[str, Any], expected: bool
) -> None:
    assert asked(condition) is expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"$or": [{"params.n": 1}], "metadata.plan": "free"}, False),
        ({"$or": [{"params.n": 1}], "metadata.plan": "paid"}, True),
        ({"$and": [{"params.n": 1}], "metadata.plan": "free"}, False),
        ({"$and": [{"params.n": 1}], "$or": [{"params.n": 2}]}, False),
        ({"metadata.plan": "free", "$or": [{"params.n": 1}]}, False),
    ],
)
def test_conditions_behind_an_and_or_an_or_count_where_the_original_leaves_them_out(
    condition: dict[str, Any], expected: bool
) -> None:
    assert asked(condition) is expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"params.user.tier": "gold"}, True),
        ({"params.user.tier": {"$ne": "gold"}}, False),
        ({"params.user.flags[0]": "beta"}, True),
        ({"params.messages.0.role": "user"}, True),
        ({"params.messages[0].content": {"$regex": "^Hel"}}, True),
        ({"params.user.lost.deeper": {"$ne": "x"}}, True),
        ({"metadata.a.b": "dotted"}, True),
    ],
)
def test_keys_deeper_than_two_names_find_what_the_original_calls_undefined(
    condition: dict[str, Any], expected: bool
) -> None:
    assert asked(condition) is expected


def test_a_body_that_is_no_json_has_no_params() -> None:
    assert not asked({"params.model": "gpt-x"}, Request({}, {}))
    assert asked({"params.model": {"$ne": "gpt-x"}}, Request({}, {}))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12", 12),
        (" 12abc", 12),
        ("-0.5e1x", -5),
        (".5", 0.5),
        ("5.", 5),
        ("0x10", 0),
        ("1e", 1),
        ("Infinity", math.inf),
        ("1_000", 1),
        ("٣", None),
        ("abc", None),
        ("", None),
        ("-", None),
    ],
)
def test_texts_are_numbers_as_parse_float_reads_them(text: str, number: float | None) -> None:
    request = Request({"x": text}, {})
    assert asked({"metadata.x": {"$gte": str(number)}}, request) if number not in (None, math.inf) else True
    assert asked({"metadata.x": {"$gt": -1e300}}, request) is (number is not None)
    assert asked({"metadata.x": {"$lte": 1e300}}, request) is (number is not None and number != math.inf)


@pytest.mark.parametrize(
    ("query", "place", "word"),
    [
        ([], (), "object"),
        ({"metadata.x": {"$zzz": 1}}, ("metadata.x", "$zzz"), "Unsupported operator used in the query router: $zzz"),
        ({"$zzz": []}, ("$zzz",), "Unsupported operator used in the query router: $zzz"),
        ({"metadata.x": {"$and": []}}, ("metadata.x", "$and"), "Unsupported operator used in the query router: $and"),
        ({"metadata.x": {"y": 1}}, ("metadata.x", "y"), "Unsupported operator used in the query router: y"),
        ({"$and": {}}, ("$and",), "list"),
        ({"$or": [{}, {"$or": [7]}]}, ("$or", 1, "$or", 0), "object"),
        ({"metadata.x": {"$in": "x"}}, ("metadata.x", "$in"), "list"),
        ({"metadata.x": {"$nin": {}}}, ("metadata.x", "$nin"), "list"),
        ({"metadata.x": {"$in": [[1]]}}, ("metadata.x", "$in"), "text"),
        ({"metadata.x": [1]}, ("metadata.x",), "text"),
        ({"metadata.x": {"$eq": {}}}, ("metadata.x", "$eq"), "text"),
        ({"metadata.x": {"$gt": "abc"}}, ("metadata.x", "$gt"), "number"),
        ({"metadata.x": {"$lt": None}}, ("metadata.x", "$lt"), "number"),
        ({"metadata.x": {"$regex": "["}}, ("metadata.x", "$regex"), "RE2"),
        ({"metadata.x": {"$regex": "(?=a)"}}, ("metadata.x", "$regex"), "RE2"),
        ({"metadata.x": {"$regex": r"(a)\1"}}, ("metadata.x", "$regex"), "RE2"),
        ({"metadata.x": {"$regex": "\ud800"}}, ("metadata.x", "$regex"), "RE2"),
        ({"metadata.x": {"$regex": 7}}, ("metadata.x", "$regex"), "pattern"),
        ({"metadata.x": {"$regex": "a" * (PATTERN_CHARS_MAX + 1)}}, ("metadata.x", "$regex"), "pattern"),
        ({"headers.x": 1}, ("headers.x",), "metadata.name"),
        ({"metadata": 1}, ("metadata",), "metadata.name"),
        ({"metadata.": 1}, ("metadata.",), "metadata.name"),
        ({"params.a..b": 1}, ("params.a..b",), "path"),
        ({"url.query": 1}, ("url.query",), "metadata.name"),
    ],
)
def test_what_cannot_be_asked_is_refused_where_it_stands(query: Any, place: tuple[Any, ...], word: str) -> None:
    ((at, message),) = faults(query)
    assert at == place
    assert word in message


def test_every_fault_of_a_query_is_named() -> None:
    query = {"$or": [{"metadata.x": {"$gt": "a", "$zzz": 1}}], "nothing": 1}
    assert [at for at, _ in faults(query)] == [
        ("$or", 0, "metadata.x", "$gt"),
        ("$or", 0, "metadata.x", "$zzz"),
        ("nothing",),
    ]


def test_queries_are_as_deep_and_as_long_as_the_limits_and_no_more() -> None:
    query: Any = {"metadata.plan": "paid"}
    for _ in range(DEPTH_MAX):
        query = {"$and": [query]}
    assert asked(query)
    assert "deep" in faults({"$and": [query]})[0][1]
    row = {"metadata.plan": "paid"}
    assert asked({"$and": [row] * COMPARISONS_MAX})
    assert str(COMPARISONS_MAX) in faults({"$and": [row] * (COMPARISONS_MAX + 9)})[0][1]


def test_a_pattern_looks_at_so_much_of_a_value_and_no_further() -> None:
    text = "a" * SEARCHED_CHARS_MAX + "b"
    assert asked({"metadata.x": {"$regex": "a"}}, Request({"x": text}, {}))
    assert not asked({"metadata.x": {"$regex": "b"}}, Request({"x": text}, {}))


def test_a_pattern_that_drives_others_mad_ends() -> None:
    assert not asked({"metadata.x": {"$regex": "^(a|aa)+$"}}, Request({"x": "a" * 16_000 + "b"}, {}))


def test_a_key_is_told_as_it_was_written() -> None:
    for text in ("metadata.a.b", "params.a.b[0].c", "url.pathname"):
        assert str(parse_key(text)) == text
    query = parse_query({"$or": [{"metadata.a": 1}, {"params.b[1]": {"$gt": 2}}]})
    assert [(str(c.key), c.operator, c.operand) for c in comparisons_of(query)] == [
        ("metadata.a", "$eq", 1),
        ("params.b[1]", "$gt", 2),
    ]


# Properties

VALUES = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "b", "1", "2.5", 0.5])
KEYS = st.sampled_from(["metadata.a", "metadata.b", "params.a", "params.b.c", "params.b[0]", "url.pathname"])
REQUESTS = st.builds(
    Request,
    st.dictionaries(st.sampled_from("ab"), st.text("ab12.", max_size=3), max_size=2),
    st.fixed_dictionaries({}, optional={"a": VALUES, "b": st.fixed_dictionaries({"c": VALUES}) | st.lists(VALUES)}),
    st.sampled_from(["/v1/chat/completions", "a"]),
)
COMPARISONS = st.one_of(
    VALUES,
    st.fixed_dictionaries(
        {}, optional={"$eq": VALUES, "$ne": VALUES, "$in": st.lists(VALUES), "$nin": st.lists(VALUES)}
    ),
    st.dictionaries(st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), st.integers(-3, 3), max_size=3),
    st.fixed_dictionaries({"$regex": st.sampled_from(["a", "^b$", ""])}, optional={"$ne": VALUES}),
)
QUERIES = st.recursive(
    st.dictionaries(KEYS, COMPARISONS, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from(["$and", "$or"]), st.lists(inner, max_size=3), max_size=2),
    max_leaves=8,
)


@given(QUERIES, REQUESTS)
def test_a_query_holds_if_each_part_of_it_does(query: dict[str, Any], request_: Request) -> None:
    assert asked(query, request_) is all(asked({key: value}, request_) for key, value in query.items())


@given(st.lists(QUERIES, max_size=4), REQUESTS)
def test_and_is_all_and_or_is_any(queries: list[Any], request_: Request) -> None:
    assert asked({"$and": queries}, request_) is all(asked(query, request_) for query in queries)
    assert asked({"$or": queries}, request_) is any(asked(query, request_) for query in queries)


@given(KEYS, VALUES, st.lists(VALUES), REQUESTS)
def test_ne_and_nin_are_the_opposites_of_eq_and_in(key: str, value: Any, list_: list[Any], request_: Request) -> None:
    assert asked({key: {"$eq": value}}, request_) is not asked({key: {"$ne": value}}, request_)
    assert asked({key: {"$in": list_}}, request_) is not asked({key: {"$nin": list_}}, request_)
    assert asked({key: {"$in": list_}}, request_) is any(asked({key: member}, request_) for member in list_)


@given(KEYS, st.integers(-3, 3), REQUESTS)
def test_of_numbers_gte_is_the_opposite_of_lt(key: str, limit: int, request_: Request) -> None:
    below, above = asked({key: {"$lt": limit}}, request_), asked({key: {"$gte": limit}}, request_)
    is_number = asked({key: {"$gte": -1e300}}, request_)
    assert below + above == is_number
    assert asked({key: {"$lte": limit, "$gte": limit}}, request_) <= is_number


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["$eq", "(", "a"])
JUNK = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text() | KEYS | st.sampled_from(["$and", "$or", "$regex", "$gt", "$in", "$zzz"]), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@given(JUNK, REQUESTS)
def test_any_json_is_a_query_or_faults_with_places_in_it(junk: Any, request_: Request) -> None:
    try:
        holds(parse_query(junk), request_)
    except QueryFaults as error:
        for path, message in error.faults:
            assert message
            node = junk
            for step in path:
                node = node[step]
