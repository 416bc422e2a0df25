"""Usage as hosts of OpenAI's dialect tell it: each way of counting becomes ours, and junk becomes unknown."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.base import BrokenAnswer, Call, Door, Usage
from gateway.providers.openai import stream as stream_module
from gateway.providers.openai import usage as usage_module
from gateway.providers.openai.stream import OpenAIStream
from gateway.providers.openai.usage import usage_alone, usage_of, usage_read, usage_said

PLAIN = {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19}
HOSTS: dict[str, tuple[dict[str, Any], Usage]] = {
    "plain": (PLAIN, Usage(12, 7)),
    "everything": (
        {
            **PLAIN,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 2},
            "completion_tokens_details": {
                "reasoning_tokens": 4,
                "audio_tokens": 1,
                "accepted_prediction_tokens": 3,
                "rejected_prediction_tokens": 0,
            },
        },
        Usage(12, 7, 0, None, 4, 2, 1),
    ),
    "sound that may be among what was cached": (
        {**PLAIN, "prompt_tokens_details": {"cached_tokens": 5, "audio_tokens": 2}},
        Usage(12, 7, 5, audio_input_tokens=2, unpriced=True),
    ),
    "details that are null": (
        {**PLAIN, "prompt_tokens_details": None, "completion_tokens_details": None},
        Usage(12, 7),
    ),
    "cache writes": (
        {**PLAIN, "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 10}},
        Usage(12, 7, 0, 10),
    ),
    "cache writes by another name": (
        {**PLAIN, "prompt_tokens_details": {"cached_tokens": 2, "cache_creation_tokens": 10}},
        Usage(12, 7, 2, 10),
    ),
    "cache hits beside the prompt": (
        {**PLAIN, "prompt_cache_hit_tokens": 8, "prompt_cache_miss_tokens": 4},
        Usage(12, 7, 8),
    ),
    "cached tokens without details": ({**PLAIN, "cached_tokens": 8}, Usage(12, 7, 8)),
    "thoughts beside the output": (
        {
            "prompt_tokens": 12,
            "completion_tokens": 1,
            "total_tokens": 399,
            "completion_tokens_details": {"reasoning_tokens": 386},
        },
        Usage(12, 387, reasoning_tokens=386),
    ),
    "only thoughts": (
        {
            "prompt_tokens": 21,
            "completion_tokens": 0,
            "total_tokens": 81,
            "completion_tokens_details": {"reasoning_tokens": 60},
        },
        Usage(21, 60, reasoning_tokens=60),
    ),
    "thoughts in the total alone": (
        {"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623},
        Usage(20, 603),
    ),
    "cached tokens beside the input": (
        {
            "prompt_tokens": 10,
            "completion_tokens": 7,
            "total_tokens": 22,
            "prompt_tokens_details": {"cached_tokens": 5},
        },
        Usage(15, 7, 5),
    ),
    "sound in the total alone, sold by the second": (
        {"prompt_tokens": 4, "completion_tokens": 635, "total_tokens": 3_264, "prompt_audio_seconds": 203},
        Usage(2_629, 635, unpriced=True),
    ),
    "no sound": ({**PLAIN, "prompt_audio_seconds": {}}, Usage(12, 7)),
    "sources that were read, beside the tokens": ({**PLAIN, "citation_tokens": 20_016}, Usage(12, 7, unpriced=True)),
    "as many thoughts beside the output as cached in the input": (
        {
            "prompt_tokens": 10,
            "completion_tokens": 7,
            "total_tokens": 22,
            "prompt_tokens_details": {"cached_tokens": 5},
            "completion_tokens_details": {"reasoning_tokens": 5},
        },
        Usage(10, 12, 5, None, 5),
    ),
    "a total that is too small": ({**PLAIN, "total_tokens": 3}, Usage(12, 7)),
    "no completion": ({"prompt_tokens": 12, "total_tokens": 19}, Usage(12, 7)),
    "no prompt": ({"completion_tokens": 7, "total_tokens": 19}, Usage(12, 7)),
    "only a prompt": ({"prompt_tokens": 12}, Usage(input_tokens=12)),
    "nothing": ({}, Usage()),
}
RARE = ("sound in the total alone, sold by the second", "sources that were read, beside the tokens")
"""They are looked at the slow way."""


@pytest.mark.parametrize("host", [host for host in HOSTS if host != "nothing"])
def test_every_host_s_way_of_counting_becomes_ours(host: str) -> None:
    told, usage = HOSTS[host]
    assert usage_of(told, Door.CHAT) == usage


@pytest.mark.parametrize("nothing", [None, {}, [], 7, "12", True, {"total_tokens": 19}, {"prompt_tokens": None}])
def test_a_provider_that_says_nothing_has_said_nothing(nothing: Any) -> None:
    assert usage_of(nothing, Door.CHAT) is None


def test_sound_that_may_be_among_what_was_cached_is_not_charged_twice_in_other_words_either() -> None:
    told = {"input_tokens": 12, "output_tokens": 7, "input_token_details": {"cached_tokens": 5, "audio_tokens": 2}}
    assert usage_said(told, Door.AUDIO) == Usage(12, 7, 5, audio_input_tokens=2, unpriced=True)


PICTURES = {"input_tokens": 12, "output_tokens": 7}


@pytest.mark.parametrize(
    ("door", "details", "priced"),
    [
        (Door.IMAGES, {}, False),
        (Door.IMAGES, {"output_tokens_details": {"image_tokens": 5, "text_tokens": 2}}, False),
        (Door.IMAGES, {"output_tokens_details": {"image_tokens": 0, "text_tokens": 7}}, True),
        (Door.RESPONSES, {"output_tokens_details": {"image_tokens": 5}}, False),
        (Door.RESPONSES, {}, True),
    ],
)
def test_pictures_are_not_charged_as_text(door: Door, details: dict[str, Any], priced: bool) -> None:
    """They cost three times as much. Whoever wrote down an amount for the model knows what it makes."""
    assert usage_said({**PICTURES, **details}, door) == Usage(12, 7, unpriced=not priced, tiered=not priced)


def test_a_chat_s_pictures_are_not_charged_as_text() -> None:
    told = {**PLAIN, "completion_tokens_details": {"image_tokens": 5}}
    whole = json.dumps({"choices": [], "usage": told}).encode()
    found = (usage_of(told, Door.CHAT), usage_read(whole, Door.CHAT), usage_alone(whole, Door.CHAT))
    assert found == (Usage(12, 7, unpriced=True),) * 3
    assert usage_of({**PLAIN, "completion_tokens_details": {"image_tokens": 0}}, Door.CHAT) == Usage(12, 7)


def test_embeddings_put_out_no_tokens() -> None:
    assert usage_of({"prompt_tokens": 12, "total_tokens": 12}, Door.EMBEDDINGS) == Usage(12, 0)
    assert usage_of({"prompt_tokens": 12}, Door.EMBEDDINGS) == Usage(12, 0)
    assert usage_of({"total_tokens": 12}, Door.EMBEDDINGS) == Usage(12, 0)
    assert usage_of({"prompt_tokens": 12, "completion_tokens": 0}, Door.EMBEDDINGS) == Usage(12, 0)


@pytest.mark.parametrize("junk", [-1, 1.5, 12.0, "12", True, None, 2**41, [], {}])
def test_what_is_no_count_is_unknown_and_never_zero(junk: Any) -> None:
    details = {"cached_tokens": junk, "audio_tokens": junk, "cache_write_tokens": junk, "reasoning_tokens": junk}
    told = {**PLAIN, "prompt_tokens_details": details, "completion_tokens_details": details}
    assert usage_of(told, Door.CHAT) == Usage(12, 7, unpriced=junk is not None)
    assert usage_of({**PLAIN, "cached_tokens": junk}, Door.CHAT) == Usage(12, 7, unpriced=junk is not None)
    apart = {"input_tokens": 12, "output_tokens": 7, "input_tokens_details": details}
    assert usage_said(apart, Door.RESPONSES) == Usage(12, 7, unpriced=junk is not None)
    assert usage_of({"prompt_tokens": 12, "completion_tokens": junk}, Door.CHAT) == Usage(input_tokens=12)
    assert usage_of({"prompt_tokens": junk, "completion_tokens": 7}, Door.CHAT) == Usage(output_tokens=7)
    assert usage_of({"prompt_tokens": junk, "completion_tokens": junk}, Door.CHAT) is None


NAMES = st.sampled_from(
    "prompt_tokens completion_tokens total_tokens prompt_tokens_details completion_tokens_details cached_tokens "
    "cache_write_tokens audio_tokens reasoning_tokens prompt_cache_hit_tokens x".split()
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**64) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(NAMES, JSON), st.sampled_from(Door))
def test_whatever_is_told_each_count_is_a_count_or_unknown(told: dict[str, Any], door: Door) -> None:
    usage = usage_of(told, door)
    if usage is None:
        return
    counts = (
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        usage.audio_input_tokens,
        usage.audio_output_tokens,
    )
    assert all(count is None or (type(count) is int and 0 <= count < 2**42) for count in counts)
    assert not usage.estimated


PARTS_READ = ("cached_tokens", "audio_tokens", "cache_write_tokens", "cache_creation_tokens")


def plainly(usage: dict[str, Any], door: Door) -> Usage | None:
    """The same rules one by one, each value looked at by itself."""

    def counts(said: Any) -> dict[str, int]:
        given = said if isinstance(said, dict) else {}
        return {name: value for name, value in given.items() if type(value) is int and 0 <= value <= 2**40}

    said = counts(usage)
    input_, output, total = said.get("prompt_tokens"), said.get("completion_tokens"), said.get("total_tokens")
    if door in (Door.EMBEDDINGS, Door.RERANK, Door.MODERATIONS) and output is None:
        output = 0
    if total is not None:
        if input_ is None and output is not None and output <= total:
            input_ = total - output
        elif output is None and input_ is not None and input_ <= total:
            output = total - input_
    if input_ is None and output is None:
        return None
    were_read = counts(usage.get("prompt_tokens_details"))
    written = counts(usage.get("completion_tokens_details"))
    read = were_read.get("cached_tokens", said.get("prompt_cache_hit_tokens", said.get("cached_tokens")))
    write = were_read.get("cache_write_tokens", were_read.get("cache_creation_tokens"))
    reasoning = written.get("reasoning_tokens")
    if total is not None and input_ is not None and output is not None and total > input_ + output:
        more = total - input_ - output
        if more == (read or 0) + (write or 0) and more != reasoning:
            input_ += more
        else:
            output += more
    parts = [
        (usage, said, ("prompt_cache_hit_tokens", "cached_tokens")),
        (usage.get("prompt_tokens_details"), were_read, PARTS_READ),
        (usage.get("completion_tokens_details"), written, ("reasoning_tokens", "audio_tokens")),
    ]
    told = [(given, known, name) for given, known, names in parts if isinstance(given, dict) for name in names]
    return Usage(
        input_,
        output,
        read,
        write,
        reasoning,
        were_read.get("audio_tokens"),
        written.get("audio_tokens"),
        unpriced=bool(read and were_read.get("audio_tokens"))
        or any(given.get(name) is not None and name not in known for given, known, name in told),
    )


SANE = st.integers(0, 9) | st.sampled_from((2**40 - 1, 2**40))
VALUE = SANE | st.sampled_from((-1, 2**40 + 1, 2**64, True, False, 0.0, 7.0, "7", None))


def said(*names: str, value: st.SearchStrategy[Any] = VALUE, **more: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional={**dict.fromkeys(names, value), **more})


@st.composite
def usages(draw: st.DrawFn) -> dict[str, Any]:
    """Mostly as hosts say it, with a total that is the sum or explains something else."""
    value = draw(st.sampled_from((SANE, VALUE)))
    read = said("cached_tokens", "audio_tokens", "cache_write_tokens", "cache_creation_tokens", value=value)
    written = said("reasoning_tokens", "audio_tokens", "accepted_prediction_tokens", value=value)
    junk = st.none() | st.lists(st.integers(), max_size=1)
    told: dict[str, Any] = draw(
        said(
            "prompt_tokens",
            "completion_tokens",
            "total_tokens",
            "prompt_cache_hit_tokens",
            "cached_tokens",
            value=value,
            prompt_tokens_details=read | junk,
            completion_tokens_details=written | junk,
        )
    )
    parts: list[Any] = [told.get(name) for name in ("prompt_tokens", "completion_tokens")]
    if draw(st.booleans()) and all(type(part) is int for part in parts):
        told["total_tokens"] = sum(parts) + draw(st.integers(-1, 12))
    return told


@given(usages(), st.sampled_from((Door.CHAT, Door.EMBEDDINGS)))
def test_counts_looked_at_together_are_what_they_are_one_by_one(told: dict[str, Any], door: Door) -> None:
    body = json.dumps({"id": "c", "usage": told}).encode()
    assert repr(usage_of(told, door)) == repr(usage_read(body, door)) == repr(plainly(told, door))


@pytest.mark.parametrize("host", [host for host in HOSTS if host not in ("nothing", *RARE)])
def test_what_hosts_say_is_read_into_place(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told, usage = HOSTS[host]
    monkeypatch.delattr(usage_module, "_usage_parsed")
    assert usage_read(json.dumps({"id": "c", "usage": told}).encode(), Door.CHAT) == usage
    assert usage_alone(json.dumps({"id": "c", "choices": [], "usage": told}).encode(), Door.CHAT) == usage


ODD: tuple[dict[str, Any], ...] = (
    {},
    {"service_tier": "default"},
    {"service_tier": "flex"},
    {"service_tier": 7},
    {"x_groq": {"usage": PLAIN}},
    {"error": "overloaded"},
    {"error": {"message": "no"}},
)


@given(usages(), st.booleans(), st.sampled_from(ODD))
def test_an_event_that_tells_usage_alone_is_read_as_any_other(
    told: dict[str, Any], spaced: bool, odd: dict[str, Any]
) -> None:
    asked = Call(Door.CHAT, b"", {"messages": []}, stream=True)
    chunk = {"id": "c", "choices": [], "usage": told, **odd}
    event = b"data: %b\n\n" % json.dumps(chunk, separators=None if spaced else (",", ":")).encode()

    def seen(*, alone: bool) -> tuple[Any, ...]:
        stream = OpenAIStream(asked, drops_usage=True)
        with pytest.MonkeyPatch.context() as patch:
            if not alone:
                patch.setattr(stream_module, "usage_alone", lambda *_: None)
            passed = stream.feed(event)
        return passed, repr(stream.usage), stream.begun, repr(stream.failure)

    assert seen(alone=True) == seen(alone=False)


@given(usages())
def test_of_two_counts_by_one_name_the_last_counts(told: dict[str, Any]) -> None:
    one = json.dumps(told).encode()
    twice = one[:-1] + b"," + one[1:] if told else one
    body = b'{"usage":{"prompt_tokens":1},"usage":%b}' % twice
    assert repr(usage_read(body, Door.CHAT)) == repr(plainly(told, Door.CHAT))


BROKEN = [b"", b"[]", b"null", b'{"usage":{}', b'{"a":"\xff"}', b'{"usage":{"x":"\\ud800"}}', b'{"a":' * 3_000]


@pytest.mark.parametrize("body", BROKEN)
def test_a_broken_answer_is_broken(body: bytes) -> None:
    with pytest.raises(BrokenAnswer):
        usage_read(body, Door.CHAT)


@pytest.mark.parametrize("total", [19.0, 19, "19", True, -1, 2**41])
def test_a_total_that_is_no_count_explains_nothing(total: Any) -> None:
    assert usage_of({**PLAIN, "total_tokens": total}, Door.CHAT) == Usage(12, 7)
