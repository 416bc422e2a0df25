"""The corpus: what is asked of every adapter, what a model may answer, and how a provider may fail. Provider by none.

Words that begin with `§`, and the numbers of `NUMBERS`, are marked: each has to arrive in the request that is sent, or
it is refused by the parameter's name, or the answer says what was left out. Nothing is dropped in silence.
"""

import re
from collections.abc import Iterator
from typing import Any

import orjson
from hypothesis import strategies as st

from tests.conformance.corpus.said import Call, Counts, Said

Body = dict[str, Any]

NUMBERS = frozenset({0.37, 0.83, 1234, 4711, 29, 0.41, 0.43, 3})
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQKJcOkw7zDtsOfCg=="
_MARKED = re.compile(r"§[\w-]+")

SCHEMA = {
    "type": "object",
    "properties": {"§city": {"type": "string", "description": "§where"}, "days": {"type": "integer"}},
    "required": ["§city"],
    "additionalProperties": False,
}
WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "description": "§weather of a place", "parameters": SCHEMA},
}
_STRICT = {"type": "function", "function": {**WEATHER["function"], "strict": True}}  # type: ignore[dict-item]
CLOCK = {"type": "function", "function": {"name": "get_time"}}


def user(content: Any) -> Body:
    return {"role": "user", "content": content}


def use(id_: str, name: str, arguments: str = "{}") -> Body:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


_ASK = [user("§hello")]
_ROUND = [
    user("§question"),
    {"role": "assistant", "content": None, "tool_calls": [use("call_1", "get_weather", '{"§city":"§Rome","days":3}')]},
    {"role": "tool", "tool_call_id": "call_1", "content": "§sunny"},
]
_IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}

REQUESTS: dict[str, Body] = {
    "plain": {"messages": _ASK},
    "several turns": {"messages": [*_ASK, {"role": "assistant", "content": "§hi"}, user("§more")]},
    "system": {"messages": [{"role": "system", "content": "§terse"}, *_ASK]},
    "several system messages": {
        "messages": [
            {"role": "system", "content": "§terse"},
            {"role": "developer", "content": [{"type": "text", "text": "§polite"}]},
            *_ASK,
            {"role": "assistant", "content": "§hi"},
            {"role": "system", "content": "§later"},
            user("§more"),
        ]
    },
    "begun answer": {"messages": [*_ASK, {"role": "assistant", "content": "§once", "prefix": True}]},
    "user twice": {"messages": [user("§one"), user("§two")]},
    "parts": {"messages": [user([{"type": "text", "text": "§one"}, {"type": "text", "text": "§two"}])]},
    "long unicode": {"messages": [user("§漢字 " + "漢🙂é\u2028\x07" * 2_000)]},
    "tools": {"messages": _ASK, "tools": [WEATHER, CLOCK]},
    "strict tool": {"messages": _ASK, "tools": [_STRICT]},
    "tool choice required": {"messages": _ASK, "tools": [WEATHER], "tool_choice": "required"},
    "tool choice none": {"messages": _ASK, "tools": [WEATHER], "tool_choice": "none"},
    "tool choice by name": {
        "messages": _ASK,
        "tools": [WEATHER, CLOCK],
        "tool_choice": {"type": "function", "function": {"name": "get_time"}},
    },
    "one tool at a time": {"messages": _ASK, "tools": [WEATHER], "parallel_tool_calls": False},
    "tool result": {"messages": _ROUND, "tools": [WEATHER]},
    "tool result, no tools any more": {"messages": _ROUND},
    "tool results, parallel": {
        "messages": [
            user("§question"),
            {
                "role": "assistant",
                "content": "§looking",
                "tool_calls": [use("call_1", "get_weather", '{"§city":"§Rome"}'), use("call_2", "get_time")],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "§sunny"}]},
            {"role": "tool", "tool_call_id": "call_2", "content": "§noon"},
            user("§and now"),
        ],
        "tools": [WEATHER, CLOCK],
    },
    "broken arguments in the past": {
        "messages": [
            user("§question"),
            {"role": "assistant", "content": None, "tool_calls": [use("call_1", "get_weather", '{"§city": "§Ro')]},
            {"role": "tool", "tool_call_id": "call_1", "content": "§failed"},
        ],
        "tools": [WEATHER],
    },
    "vision, data": {"messages": [user([{"type": "text", "text": "§what"}, _IMAGE])]},
    "vision, address": {
        "messages": [
            user(
                [
                    {"type": "image_url", "image_url": {"url": "https://example.org/§a.png"}},
                    *[{"type": "text", "text": "§b"}],
                ]
            )
        ]
    },
    "document": {
        "messages": [
            user(
                [
                    {
                        "type": "file",
                        "file": {"filename": "§paper.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
                    },
                    {"type": "text", "text": "§sum up"},
                ]
            )
        ]
    },
    "sound": {"messages": [user([{"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}])]},
    "json schema": {
        "messages": _ASK,
        "response_format": {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA, "strict": True}},
    },
    "json object": {"messages": _ASK, "response_format": {"type": "json_object"}},
    "thinking by effort": {"messages": _ASK, "reasoning_effort": "low"},
    "thoughts of before": {
        "messages": [
            *_ASK,
            {
                "role": "assistant",
                "content": "§hi",
                "content_blocks": [{"type": "thinking", "thinking": "§hmm", "signature": "§sig"}],
            },
            user("§more"),
        ]
    },
    "thoughts of before, another's": {
        "messages": [
            *_ASK,
            {
                "role": "assistant",
                "content": "§hi",
                "content_blocks": [{"type": "thinking", "thinking": "§hmm", "signature": "gatehouse:other:§theirs"}],
            },
            user("§more"),
        ]
    },
    "sampling": {"messages": _ASK, "temperature": 0.37, "top_p": 0.83, "max_tokens": 1234},
    "longest answer": {"messages": _ASK, "max_completion_tokens": 1234},
    "stop": {"messages": _ASK, "stop": ["§end", "§halt"]},
    "stop, one": {"messages": _ASK, "stop": "§end"},
    "seed": {"messages": _ASK, "seed": 4711},
    "several answers": {"messages": _ASK, "n": 3},
    "logprobs": {"messages": _ASK, "logprobs": True, "top_logprobs": 3},
    "penalties": {"messages": _ASK, "presence_penalty": 0.41, "frequency_penalty": 0.43},
    "logit bias": {"messages": _ASK, "logit_bias": {"29": 29}},
    "end user": {"messages": _ASK, "user": "§user-1"},
    "made up field": {"messages": _ASK, "zzz_param": "§zzz"},
}
"""Chat requests by name, without their model."""

MALFORMED: dict[str, tuple[Body, str]] = {
    "no messages": ({}, "/messages"),
    "a role there is not": ({"messages": [{"role": "wizard", "content": "x"}]}, "/messages/0/role"),
    "content that is none": ({"messages": [user(5)]}, "/messages/0/content"),
    "a part that is none": ({"messages": [user([5])]}, "/messages/0/content/0"),
    "a part without text": ({"messages": [user([{"type": "text"}])]}, "/messages/0/content/0/text"),
    "a tool without a name": (
        {"messages": _ASK, "tools": [{"type": "function", "function": {}}]},
        "/tools/0/function/name",
    ),
    "a result of no call": ({"messages": [{"role": "tool", "content": "x"}]}, "/messages/0/tool_call_id"),
    "a stop that is none": ({"messages": _ASK, "stop": [5]}, "/stop/0"),
    "a limit that is none": ({"messages": _ASK, "max_tokens": "5"}, "/max_tokens"),
    "a schema that is none": (
        {"messages": _ASK, "response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
        "/response_format/json_schema/schema",
    ),
}
"""What an adapter that has to read a request refuses, and where."""

_ROME = Call("call_1", "get_weather", {"city": "Rome 漢字", "days": 3, "nested": {"a": [1, None, "ü"]}})
_TIME = Call("call_2", "get_time", {})

ANSWERS: dict[str, Said] = {
    "plain": Said("Hello there."),
    "empty": Said(""),
    "long unicode": Said('漢🙂é\u2028\x07 \\n"' * 300),
    "looks like framing": Said('data: [DONE]\n\nevent: x\r\n: "usage":{"finish_reason":"stop"}'),
    "one tool": Said(calls=(_ROME,), finish="tool_calls"),
    "tool without arguments": Said(calls=(_TIME,), finish="tool_calls"),
    "tools in parallel": Said(
        calls=(_ROME, _TIME, Call("call_3", "get_weather", {"city": "Oslo"})), finish="tool_calls"
    ),
    "text, then a tool": Said("I look. ", calls=(_ROME,), finish="tool_calls"),
    "thought": Said("Yes.", thought="Let me see… 漢字"),
    "thought, signed": Said("Yes.", thought="Let me see…", signature="c2lnbmF0dXJl"),
    "thought, text and tools": Said("So.", "Hmm.", "c2ln", (_ROME, _TIME), "tool_calls"),
    "cut by length": Said("Hello th", finish="length"),
    "refused": Said("I cannot", finish="content_filter"),
    "cached": Said("Hi.", counts=Counts(100, 5, cache_read=60, cache_write=20)),
    "read from a cache": Said("Hi.", counts=Counts(100, 5, cache_read=60)),
    "reasoned": Said("Hi.", counts=Counts(10, 50, reasoning=40)),
    "heard and spoken": Said("Hi.", counts=Counts(100, 50, audio_input=60, audio_output=40)),
}
"""What a model answers. A wire leaves out what its dialect cannot say."""

ERRORS = {
    "auth": 401,
    "permission": 403,
    "not found": 404,
    "rate limit": 429,
    "overloaded": 503,
    "too long": 400,
    "filtered": 400,
    "invalid": 400,
    "server": 500,
}
"""Ways to fail, and the status of each where the provider has none of its own."""

EMBEDDED: dict[str, Body] = {
    "string": {"input": "§one"},
    "list": {"input": ["§one", "§two"]},
    "tokens": {"input": [4711, 29]},
    "base64": {"input": "§one", "encoding_format": "base64"},
    "dimensions": {"input": "§one", "dimensions": 3},
    "end user": {"input": "§one", "user": "§user-1"},
}


def marks(body: Body) -> set[str | float]:
    """What of a request has to arrive."""
    found: set[str | float] = set(_MARKED.findall(orjson.dumps(body).decode()))
    found |= {number for number in _numbers(body) if number in NUMBERS}
    text = orjson.dumps(body)
    found |= {data for data in (PIXEL, PDF, "UklGRg==") if data.encode() in text}
    if any(tool["function"].get("strict") for tool in body.get("tools", ())):
        found.add("strict")
    return found


def arrived(mark: str | float, sent: Any) -> bool:
    if isinstance(mark, str):
        return mark.encode() in orjson.dumps(sent)
    return mark in _numbers(sent)


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _numbers(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers(inner)
    elif isinstance(value, str) and value.startswith("{"):
        try:
            yield from _numbers(orjson.loads(value))
        except orjson.JSONDecodeError:
            return
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


# Chats of what every dialect can say, for properties.

_TIMER = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}}
_texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
_names = st.text("abcdefgh_", min_size=1, max_size=8)
_inputs = st.dictionaries(_names, st.integers(-(2**53), 2**53) | _texts | st.lists(_texts, max_size=2), max_size=3)
_pictures = st.sampled_from([_IMAGE, {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,/9j/4AA="}}])
_parts = st.lists(st.builds(lambda text: {"type": "text", "text": text}, _texts) | _pictures, min_size=1, max_size=3)


@st.composite
def chats(draw: st.DrawFn) -> Body:
    messages: list[Body] = [{"role": "system", "content": text} for text in draw(st.lists(_texts, max_size=2))]
    for number in range(draw(st.integers(1, 3))):
        messages.append(user(draw(_texts | _parts)))
        called = draw(st.lists(st.tuples(_names, _inputs), max_size=2))
        said = draw(_texts) if not called else draw(st.none() | _texts)
        turn: Body = {"role": "assistant", "content": said}
        if called:
            ids = [f"call_{number}_{place}" for place in range(len(called))]
            turn["tool_calls"] = [
                use(id_, name, orjson.dumps(given).decode()) for id_, (name, given) in zip(ids, called, strict=True)
            ]
            messages += [turn, *({"role": "tool", "tool_call_id": id_, "content": draw(_texts)} for id_ in ids)]
        else:
            messages.append(turn)
    messages.append(user(draw(_texts)))
    body: Body = {"model": "m", "messages": messages, "tools": [WEATHER, _TIMER]}
    for name, values in {
        "temperature": st.floats(0, 1),
        "top_p": st.floats(0, 1),
        "max_completion_tokens": st.integers(1, 10_000),
        "stop": st.lists(_texts, min_size=1, max_size=3),
        "tool_choice": st.sampled_from(["auto", "required", {"type": "function", "function": {"name": "get_time"}}]),
    }.items():
        if draw(st.booleans()):
            body[name] = draw(values)
    return body
