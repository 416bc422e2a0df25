"""The short way of OpenAI's dialect to a request: it says what the long one says, or nothing."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.azure.provider import Azure
from gateway.providers.base import Call, Door, Place, ProviderKey, Quirks, Untranslatable
from gateway.providers.openai.provider import OpenAI
from gateway.providers.registry import adapters
from gateway.upstream.messages import Deadlines, Origin, UpstreamRequest
from gateway.view.plan import place_of
from shared.crypto.secret import Secret
from shared.models.credential import AccountForm
from shared.models.provider import Provider

PLACE = Place(
    "acme", Origin("https", "acme.test", 443), "/v1", b"authorization", b"Bearer ", stream_usage=True, doors=frozenset()
)
KEY = Secret("sk-1")
DEADLINES = Deadlines()

places = st.builds(
    replace,
    st.just(PLACE),
    stream_usage=st.booleans(),
    prefix=st.sampled_from(["", "/v1"]),
    headers=st.sampled_from([(), ((b"x-v", b"x-v: 2\r\n"),)]),
    auth_header=st.sampled_from([b"authorization", b"x-key"]),
    auth_prefix=st.sampled_from([b"", b"Bearer "]),
)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from(["m", "@main/m", "other"]),
        "stream": st.booleans(),
        "stream_options": st.sampled_from([None, {}, {"include_usage": True}, {"include_usage": False, "x": 1}]),
        "n": st.integers(0, 9),
    },
)


def call(body: dict[str, Any], door: Door = Door.CHAT, forwarded: bytes = b"") -> Call:
    stream = body.get("stream") is True and door is not Door.EMBEDDINGS
    return Call(door, orjson.dumps(body, option=orjson.OPT_INDENT_2), body, stream, forwarded)


def plain(asked: Call, place: Place = PLACE, key: ProviderKey | None = KEY) -> UpstreamRequest | None:
    return OpenAI().plain_request(asked, place, key, "m", DEADLINES)


@given(
    bodies,
    st.sampled_from([Door.CHAT, Door.COMPLETIONS, Door.EMBEDDINGS]),
    st.sampled_from([b"", b"openai-beta: x\r\n", b"x-v: 3\r\n"]),
    places,
    st.sampled_from([KEY, None]),
)
def test_both_ways_say_the_same(
    body: dict[str, Any], door: Door, forwarded: bytes, place: Place, key: ProviderKey | None
) -> None:
    asked = call(body, door, forwarded)
    before = orjson.dumps(body)
    short, long = plain(asked, place, key), OpenAI().request(asked, place, key, {}, "m")
    assert short is not None
    assert (short.origin, short.deadlines, short.upload) == (place.origin, DEADLINES, None)
    assert (short.method, short.target, short.headers, short.body) == (
        long.method,
        long.target,
        long.headers,
        long.body,
    )
    assert (long.origin, long.signer, long.answer, long.left_out, long.skip) == (None, None, None, frozenset(), 0)
    assert orjson.dumps(asked.body) == before


ACCOUNT = AccountForm(account="a", api_key="k")  # type: ignore[arg-type]
TEMPLATED = place_of(Provider(id="acme", name="Acme", base_url="https://{account}.acme.test"))


@pytest.mark.parametrize(
    ("place", "key"),
    [
        (TEMPLATED, ACCOUNT),
        (TEMPLATED, KEY),
        (PLACE, ACCOUNT),
        (replace(PLACE, quirks=Quirks(ignored=("seed",))), KEY),
    ],
)
def test_where_there_is_more_to_say_the_long_way_is_gone(place: Place, key: ProviderKey | None) -> None:
    assert plain(call({"model": "m"}), place, key) is None


@pytest.mark.parametrize("adapter", [a for a in adapters().values() if type(a) is not OpenAI])
def test_no_other_dialect_has_it_nor_one_that_is_made_of_this(adapter: Any) -> None:
    assert adapter.plain_request(call({"model": "m"}), PLACE, KEY, "m", DEADLINES) is None
    assert Azure().plain_request(call({"model": "m"}), PLACE, KEY, "m", DEADLINES) is None


def test_what_cannot_be_written_is_refused_on_both() -> None:
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    asked = Call(Door.CHAT, b"", {"model": "@main/m", "x": deep}, stream=False)
    with pytest.raises(Untranslatable, match="nested too deep"):
        plain(asked)


def test_a_request_does_not_print_its_key() -> None:
    assert "sk-1" not in repr(plain(call({"model": "m"})))
