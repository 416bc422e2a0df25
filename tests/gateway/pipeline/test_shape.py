"""A call as one target gets it: default, override, drop, in this order, and the call itself is as it was."""

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Code, GatewayError
from gateway.pipeline.shape import shaped
from gateway.providers.base import Call, Door, Untranslatable
from shared.crypto.api_keys import new_api_key
from tests.gateway.view.test_plan import MAIN, target

BODY: dict[str, Any] = {
    "model": "m",
    "temperature": None,
    "user": "u",
    "messages": [{"role": "user", "content": "x", "name": "n"}, {"role": "user", "content": "y"}],
}


def call(body: dict[str, Any] | None = None) -> Call:
    body = BODY if body is None else body
    return Call(Door.CHAT, orjson.dumps(body), body, stream=False, forwarded=b"traceparent: 00-a-b-01\r\n")


def sent(settings: dict[str, Any], asked: Call | None = None) -> dict[str, Any]:
    """The body as an adapter would send it."""
    made, overrides = shaped(asked or call(), target({**MAIN, **settings}), {})
    assert orjson.loads(made.raw) == made.body
    return {**made.body, **overrides}


def forwarded(names: list[str], headers: dict[str, str], settings: dict[str, Any] | None = None) -> bytes:
    made, _ = shaped(call(), target({**(settings or MAIN), "forward_headers": names}), headers)
    return made.forwarded


def test_defaults_are_for_what_the_caller_did_not_give() -> None:
    body = sent({"default_params": {"temperature": 1, "top_p": 0.5, "user": "other"}})
    assert body == {**BODY, "top_p": 0.5}, "null was given too"


def test_overrides_win_over_defaults_and_the_caller() -> None:
    body = sent({"default_params": {"n": 1, "seed": 7}, "override_params": {"n": 2, "user": "v"}})
    assert body == {**BODY, "seed": 7, "n": 2, "user": "v"}


def test_drops_come_last_of_all() -> None:
    settings = {
        "default_params": {"seed": 7, "n": 1},
        "override_params": {"top_p": 1},
        "drop_params": ["seed", "top_p", "user", "messages[*].name", "lost.deeper"],
    }
    body = sent(settings)
    messages = [{"role": "user", "content": "x"}, {"role": "user", "content": "y"}]
    assert body == {"model": "m", "temperature": None, "n": 1, "messages": messages}


PARAMS = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(0, 3) | st.just([{"x": 1}]), max_size=3)


@given(PARAMS, PARAMS, PARAMS, st.lists(st.sampled_from(["a", "b", "c", "c[0].x", "d"]), max_size=3))
def test_a_body_is_default_then_override_then_drop_and_stays_as_it_was(
    given_: dict[str, Any], defaults: dict[str, Any], overrides: dict[str, Any], drops: list[str]
) -> None:
    asked = call({"model": "m", **given_})
    before = copy.deepcopy(asked.body)
    body = sent({"default_params": defaults, "override_params": overrides, "drop_params": drops}, asked)
    assert asked.body == before
    assert set(body) == {"model", *given_, *defaults, *overrides} - set(drops)
    for name in set(body) - {"model", "c"}:
        expected = overrides.get(name, given_.get(name, defaults.get(name)))
        assert body[name] == expected


def test_a_body_too_deep_to_be_written_anew_is_the_caller_s_mistake() -> None:
    deep: Any = 1
    for _ in range(400):
        deep = [deep]
    with pytest.raises(Untranslatable):
        sent({"drop_params": ["x"]}, Call(Door.CHAT, b"", {"x": 1, "deep": deep}, stream=False))


def test_named_headers_go_on_as_they_came_behind_those_that_always_do() -> None:
    headers = {"x-one": "1 ", "x-other": "grüße \udcff", "x-lost-in-config": "z"}
    block = forwarded(["X-One", "x-other", "x-not-sent"], headers)
    assert block == b"traceparent: 00-a-b-01\r\nx-one: 1 \r\nx-other: gr\xc3\xbc\xc3\x9fe \xff\r\n"


def test_a_header_that_goes_on_anyway_goes_once() -> None:
    assert forwarded(["traceparent"], {"traceparent": "00-a-b-01"}) == b"traceparent: 00-a-b-01\r\n"


@pytest.mark.parametrize("form", ["{}", "Bearer {}", "a=1; key={}; b=2", '{{"key": "{}"}}'])
@pytest.mark.parametrize("name", ["authorization", "x-custom"])
def test_no_key_of_ours_goes_on_in_any_header(name: str, form: str) -> None:
    key = new_api_key().reveal_text()
    settings = {"provider": "sim"}
    assert b"gh_" not in forwarded([name], {name: form.format(key)}, settings)


def test_the_provider_s_own_key_stands_alone_in_its_header() -> None:
    headers = {"authorization": "Bearer caller-s-own"}
    assert b"caller-s-own" not in forwarded(["authorization"], headers)
    without_key = {"provider": "sim", "custom_host": "http://own.test"}
    assert b"authorization: Bearer caller-s-own\r\n" in forwarded(["authorization"], headers, without_key)


@pytest.mark.parametrize("value", ["a\x00b", "a\rb", "a\nhost: b"])
def test_a_forwarded_header_with_a_control_character_is_refused(value: str) -> None:
    with pytest.raises(GatewayError) as caught:
        forwarded(["x-one"], {"x-one": value})
    assert (caught.value.code, caught.value.param) == (Code.HEADER_INVALID, "x-one")
