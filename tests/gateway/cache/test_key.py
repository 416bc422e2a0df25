"""The cache's key: whatever may change an answer changes it, and what may not does not."""

import random
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.cache.key import ANSWER_HEADERS, Question, Unkeyed, cache_key
from gateway.pipeline.cached import question_of
from gateway.pipeline.exchange import Exchange
from gateway.pipeline.read import read_call
from gateway.pipeline.resolve import resolve
from gateway.providers.base import Door
from gateway.upstream.messages import Origin
from gateway.view.plan import known
from gateway.view.route import CacheRules, Credential, Handling, Target, targets_of
from shared.crypto.secret import Secret
from shared.models.credential import EntraForm, Form
from tests.fakes.world import World

SECRET = Secret(b"k" * 32)
WORLD = World()
VIEW = WORLD.view()
BODY: dict[str, Any] = {
    "model": "sim-chat",
    "messages": [{"role": "user", "content": "Hi"}],
    "temperature": 0.5,
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {}, "b": {}}}}}],
}
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.dictionaries(st.text(min_size=1).filter(lambda name: name not in ("model", "stream")), JSON, max_size=6)
PAIRS = st.lists(st.tuples(st.text(), st.text()), max_size=4)


def question(
    body: Any = BODY,
    headers: dict[str, str] | None = None,
    config: dict[str, Any] | None = None,
    door: Door = Door.CHAT,
) -> Question:
    """Of the first target that a call comes to."""
    sent = {"authorization": f"Bearer {WORLD.key}", **(headers or {})}
    if config is not None:
        sent["x-portkey-config"] = orjson.dumps({"virtual_key": "main", **config}).decode()
    exchange = Exchange("lg_" + "0" * 32, door, sent, orjson.dumps(body), 0.0)
    caller = exchange.caller = VIEW.caller(WORLD.key)
    assert caller is not None
    call = read_call(door, sent, exchange.body)
    return question_of(next(targets_of(resolve(sent, call, caller).route)), call, exchange)


def key(*args: Any, **fields: Any) -> str:
    return cache_key(SECRET, question(*args, **fields))


def changed(change: Callable[[Target], Target]) -> str:
    asked = question()
    return cache_key(SECRET, replace(asked, target=change(asked.target)))


def test_a_key_is_hex_digits_and_the_same_for_the_same() -> None:
    assert key() == key()
    assert len(bytes.fromhex(key())) == 32


@given(FIELDS, FIELDS)
def test_any_other_body_has_another_key(one: dict[str, Any], other: dict[str, Any]) -> None:
    assume(orjson.dumps(sorted(one.items())) != orjson.dumps(sorted(other.items())))
    assert key({**one, "model": "sim-chat"}) != key({**other, "model": "sim-chat"})


@given(FIELDS, st.randoms(use_true_random=False))
def test_the_order_of_a_bodys_fields_does_not_count(fields: dict[str, Any], chance: random.Random) -> None:
    items = list({**fields, "model": "sim-chat"}.items())
    chance.shuffle(items)
    assert key(dict(items)) == key({**fields, "model": "sim-chat"})


def test_the_order_in_a_json_schema_counts_since_answers_follow_it() -> None:
    turned = orjson.loads(orjson.dumps(BODY).replace(b'"a":{},"b":{}', b'"b":{},"a":{}'))
    assert turned == BODY
    assert key(turned) != key(BODY)


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0.6},
        {"temperature": None},
        {"model": "both-other"},
        {"stream": True},
        {"seed": 1},
        {"messages": []},
        {"messages": [{"role": "user", "content": "Hi "}]},
        {"messages": [{"role": "system", "content": "Hi"}]},
        {"a field nobody knows yet": 1},
    ],
)
def test_any_parameter_changes_it(change: dict[str, Any]) -> None:
    assert key({**BODY, **change}, config={}) != key(BODY, config={})


@pytest.mark.parametrize("name", ANSWER_HEADERS)
def test_a_header_that_may_change_the_answer_changes_it(name: str) -> None:
    assert len({key(), key(headers={name: "a"}), key(headers={name: "b"})}) == 3
    assert key(headers={f"x-portkey-{name}": "a"}) == key(headers={name: "a"})


@pytest.mark.parametrize(
    "name", ["idempotency-key", "traceparent", "x-portkey-trace-id", "user-agent", "x-stainless-lang", "accept"]
)
def test_a_header_that_may_not_does_not(name: str) -> None:
    assert key() == key(headers={name: "a"})


def test_a_header_that_the_config_forwards_changes_it() -> None:
    config = {"forward_headers": ["x-tenant"]}
    assert key(config=config, headers={"x-tenant": "a"}) != key(config=config, headers={"x-tenant": "b"})
    assert key(headers={"x-tenant": "a"}) == key(headers={"x-tenant": "b"})


@pytest.mark.parametrize(
    "config",
    [{"override_params": {"top_p": 1}}, {"default_params": {"top_p": 1}}, {"drop_params": ["temperature"]}],
)
def test_what_a_config_changes_in_the_body_changes_it(config: dict[str, Any]) -> None:
    assert key(config=config) != key(config={})


def test_a_parameter_counts_the_same_whoever_set_it() -> None:
    assert key({**BODY, "top_p": 1}, config={}) == key(config={"override_params": {"top_p": 1}})


@pytest.mark.parametrize(
    "config",
    [{"retry": {"attempts": 3}}, {"request_timeout": 1000}, {"cache": {"mode": "simple", "max_age": 90}}],
)
def test_how_a_target_is_called_does_not(config: dict[str, Any]) -> None:
    assert key(config=config) == key(config={})


CHANGES: dict[str, Callable[[Target], Target]] = {
    "provider": lambda t: replace(t, place=replace(t.place, provider="other")),
    "host": lambda t: replace(t, place=replace(t.place, origin=Origin("http", "other.test", 8000))),
    "port": lambda t: replace(t, place=replace(t.place, origin=Origin("http", "sim.test", 8001))),
    "scheme": lambda t: replace(t, place=replace(t.place, origin=Origin("https", "sim.test", 8000))),
    "prefix": lambda t: replace(t, place=replace(t.place, prefix="/v2")),
    "template": lambda t: replace(t, place=replace(t.place, template="https://{region}.test")),
    "row's headers": lambda t: replace(t, place=replace(t.place, headers=((b"x-v", b"x-v: 2\r\n"),))),
    "virtual key": lambda t: replace(t, virtual_key_id="vk-other"),
    "own key": lambda t: replace(t, virtual_key_id=None, credential=known(Secret("sk-a"))),
    "other own key": lambda t: replace(t, virtual_key_id=None, credential=known(Secret("sk-b"))),
    "no key": lambda t: replace(t, virtual_key_id=None, credential=None),
}


def test_the_words_of_a_saved_key_that_say_where_it_goes_change_it_and_a_renewed_secret_does_not() -> None:
    """Models of one name, such as Azure's deployments, may be others at another resource."""

    def of(form: Form) -> str:
        def change(target: Target) -> Target:
            place = replace(target.place, template="https://{resource}.test/openai")
            return replace(target, place=place, credential=Credential(lambda: (form, None)))

        return changed(change)

    before = of(EntraForm(resource="one", api_key="sk-a"))
    assert of(EntraForm(resource="one", api_key="sk-b")) == before
    assert of(EntraForm(resource="two", api_key="sk-a")) != before
    assert of(EntraForm(resource="one", api_key="sk-a", api_version="2025-01-01")) != before


def test_whatever_says_where_a_call_goes_changes_it() -> None:
    keys = [key(), *map(changed, CHANGES.values())]
    assert len(set(keys)) == len(keys)


def test_where_in_the_config_a_target_stands_and_how_it_is_kept_does_not() -> None:
    assert changed(lambda t: replace(t, path="config.targets[3]")) == key()
    assert changed(lambda t: replace(t, handling=Handling(cache=CacheRules(60)))) == key()


@given(st.text(), st.text(), st.text(), st.text())
def test_workspace_config_model_and_partition_are_in_it_each_for_itself(a: str, b: str, c: str, d: str) -> None:
    one = replace(question(), workspace=a, config=b, model=c, partition=(("namespace", d),))
    others: dict[str, Any] = {"workspace": f"{a}.", "config": f"{b}.", "model": f"{c}.", "partition": (("n", d),)}
    for name, value in others.items():
        assert cache_key(SECRET, one) != cache_key(SECRET, replace(one, **{name: value}))
    shifted = replace(one, workspace=a + b, config="")
    assert (cache_key(SECRET, one) == cache_key(SECRET, shifted)) == (b == "")


@given(PAIRS, PAIRS)
def test_no_two_partitions_read_the_same(one: list[tuple[str, str]], other: list[tuple[str, str]]) -> None:
    assume(one != other)
    keys = {cache_key(SECRET, replace(question(), partition=tuple(pairs))) for pairs in (one, other)}
    assert len(keys) == 2


def test_another_door_or_secret_changes_it() -> None:
    asked = question()
    assert cache_key(SECRET, replace(asked, door=Door.COMPLETIONS)) != cache_key(SECRET, asked)
    assert cache_key(Secret(b"x" * 32), asked) != cache_key(SECRET, asked)


def test_a_body_that_nests_too_deep_has_none() -> None:
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    with pytest.raises(Unkeyed):
        cache_key(SECRET, replace(question(), body={"messages": deep}))
