"""What was used, where nobody said: from the text of a call and the bytes of its answer, and marked as an estimate."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Code, GatewayError
from gateway.providers.base import Call, Door, Usage
from gateway.providers.estimate import (
    KEPT_BYTES_MAX,
    NODES_MAX,
    input_tokens,
    let_texts_go,
    settled,
    text_bytes,
    tokens_of,
)


def call(body: dict[str, Any], door: Door = Door.CHAT) -> Call:
    return Call(door=door, raw=orjson.dumps(body), parsed=body, stream=False)


def user(content: Any) -> dict[str, Any]:
    return {"model": "a-model-of-some-name", "messages": [{"role": "user", "content": content}]}


@pytest.mark.parametrize(("text", "tokens"), [(0, 0), (1, 1), (4, 1), (5, 2), (400, 100)])
def test_four_bytes_are_a_token_and_a_rest_is_one(text: int, tokens: int) -> None:
    assert tokens_of(text) == tokens


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        (user("x" * 40), 10),
        (user("日本語!"), 3),
        (user([{"type": "text", "text": "x" * 40}, {"type": "text", "text": "y"}]), 11),
        (user(None), 0),
        ({"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "abcd", "arguments": "1234"}}]}]}, 2),
        ({"prompt": "x" * 8}, 2),
        ({"prompt": ["x" * 8, "y" * 4]}, 3),
        ({"prompt": [1, 2, 3]}, 3),
        ({"prompt": [[1, 2, 3], [4]]}, 4),
        ({"input": ["x" * 8, "y"]}, 3),
        ({"tools": [{"function": {"name": "weather"}}]}, 5),
        ({"model": "m", "user": "somebody", "metadata": {"a": "b" * 100}}, 0),
        ({"messages": "x" * 8}, 2),
        ({"messages": None, "prompt": 7, "input": True, "tools": {}}, 0),
    ],
)
def test_input_is_what_the_model_is_asked_to_read(body: dict[str, Any], tokens: int) -> None:
    assert input_tokens(call(body)) == tokens


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10_000}},
        {"type": "image_url", "image_url": {"url": "https://host.test/" + "a" * 10_000}},
        {"type": "input_audio", "input_audio": {"data": "A" * 10_000, "format": "wav"}},
        {"type": "file", "file": {"file_data": "A" * 10_000}},
        {"type": "made_up", "source": "data:application/pdf;base64," + "A" * 10_000},
    ],
)
def test_pictures_sound_and_files_are_no_text(part: dict[str, Any]) -> None:
    assert input_tokens(call(user([part, {"type": "text", "text": "abcd"}]))) == 1


def test_a_text_about_data_is_a_text() -> None:
    assert input_tokens(call(user("data: what is it, and why?"))) == tokens_of(26)


@pytest.mark.parametrize("depth", [1, 500, 1_000])
def test_however_deep_a_body_is_it_is_counted(depth: int) -> None:
    body = orjson.loads(b'{"messages":' + b"[" * depth + b'"abcd"' + b"]" * depth + b"}")
    assert input_tokens(Call(Door.CHAT, b"", body, stream=False)) == 1


@pytest.mark.parametrize(
    "many", [[[]] * NODES_MAX, [{}] * NODES_MAX, [""] * NODES_MAX], ids=["lists", "dicts", "texts"]
)
def test_a_body_of_very_many_parts_counts_by_its_bytes(many: list[Any]) -> None:
    asked = call({"messages": many})
    assert input_tokens(asked) == tokens_of(len(asked.raw))


@given(st.recursive(st.text() | st.none() | st.integers(-9, 9), st.lists, max_leaves=20))
def test_an_estimate_is_never_more_than_its_body(value: Any) -> None:
    asked = call({"messages": value, "tools": value})
    assert 0 <= input_tokens(asked) <= len(asked.raw)


@pytest.mark.parametrize(
    ("said", "count"),
    [
        ({"content": "abc"}, 3),
        ({"content": "é"}, 2),
        ({"content": [{"type": "text", "text": "abc"}, {"type": "text"}, 5]}, 3),
        ({"content": None, "refusal": "no"}, 2),
        ({"reasoning_content": "hm", "content": "abc"}, 5),
        ({"reasoning": "hm", "reasoning_content": "hm"}, 2),
        ({"tool_calls": [{"function": {"name": "ab", "arguments": "{}"}}, {"function": None}, None]}, 4),
        ({"function_call": {"name": "ab", "arguments": "{}"}}, 4),
        ({"text": "abc"}, 3),
        ({"content": 7, "tool_calls": "x", "function_call": [], "reasoning": {}, "refusal": True}, 0),
        ({"audio": {"data": "AAAA", "transcript": "abc"}}, 0),
        ({}, 0),
        (None, 0),
        ([], 0),
    ],
)
def test_output_is_what_was_said_thought_and_called(said: Any, count: int) -> None:
    assert text_bytes(said) == count


def test_parts_nested_without_end_are_no_text() -> None:
    deep: Any = "x"
    for _ in range(500):
        deep = [{"text": deep}]
    assert text_bytes({"content": deep}) == 0


def test_what_the_provider_said_stays_as_it_said_it() -> None:
    said = Usage(input_tokens=0, output_tokens=0)
    assert settled(said, call(user("x" * 40)), 40) is said


def test_what_it_left_out_is_estimated_and_marked() -> None:
    asked = call(user("x" * 40))
    assert settled(None, asked, 5) == Usage(input_tokens=10, output_tokens=2, estimated=True)
    half = Usage(input_tokens=7, cache_read_tokens=3)
    assert settled(half, asked, 5) == Usage(input_tokens=7, output_tokens=2, cache_read_tokens=3, estimated=True)
    assert settled(Usage(output_tokens=9), asked, 5) == Usage(input_tokens=10, output_tokens=9, estimated=True)


JSON = st.recursive(st.text() | st.none() | st.integers(-9, 9), st.lists, max_leaves=8)


@given(st.dictionaries(st.sampled_from(["model", "messages", "prompt", "input", "tools", "system", "user", "x"]), JSON))
def test_a_call_without_its_texts_is_charged_as_with_them(body: dict[str, Any]) -> None:
    kept, lean = call(body), call(body)
    let_texts_go(lean)
    assert input_tokens(lean) == input_tokens(kept)
    assert lean.raw == b""
    assert not {"messages", "prompt", "input"} & set(lean.body)
    assert {name: lean.body.get(name) for name in ("model", "user", "tools")} == {
        name: body.get(name) for name in ("model", "user", "tools")
    }
    assert kept.body == body, "it is everybody's"


@dataclass
class Few:
    """What a call was read for that went on as it came."""

    model: Any = None
    stream_options: Any = None
    user: Any = None

    def whole(self, raw: bytes) -> Mapping[str, Any]:
        body: dict[str, Any] = orjson.loads(raw)
        if "broken" in body:
            raise GatewayError(Code.JSON_MALFORMED, "as a number is that no reader holds")
        return body


@pytest.mark.parametrize("size", [1, 1_000, KEPT_BYTES_MAX, 10 * KEPT_BYTES_MAX])
@pytest.mark.parametrize("more", [{}, {"tools": [{"name": "a"}]}, {"broken": True}])
def test_a_call_that_was_read_in_part_is_charged_as_one_that_was_read_whole(size: int, more: dict[str, Any]) -> None:
    raw = orjson.dumps({"model": "m", **user("x" * size), **more})
    kept, lean = (Call(Door.CHAT, raw, None, stream=True, few=Few()) for _ in range(2))
    let_texts_go(lean)
    assert len(lean.raw) <= KEPT_BYTES_MAX, "a stream may take an hour"
    assert lean.parsed is None or "messages" not in lean.parsed
    assert input_tokens(lean) == input_tokens(kept) > 0
    assert settled(None, lean, 5) == settled(None, kept, 5)
