"""Requests as callers really write them, and as no caller should: the corpus each OpenAI-speaking path is held to.

Generated, and the same in every run. Each is what the SDK's `create` takes; what it does not know is in `extra_body`.
"""
# ruff: noqa: RUF001 - letters of many scripts are the point.

import base64
import json
import random
import string
from collections.abc import Iterator
from typing import Any

Body = dict[str, Any]

PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJ"
    "RU5ErkJggg=="
)
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a place, “today” or later",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "Stadt, 都市 or مدينة"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                "days": {"type": "integer", "minimum": 1, "maximum": 7},
            },
            "required": ["place", "unit"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
CLOCK = {"type": "function", "function": {"name": "get_time"}}
SEARCH = {
    "type": "function",
    "function": {
        "name": "search",
        "parameters": {
            "type": "object",
            "properties": {
                "query": {"type": "string", "minLength": 200},
                "filters": {"type": "array", "items": {"type": "object", "properties": {"key": {"type": "string"}}}},
                "exact": {"type": "boolean"},
                "limit": {"type": "number", "minimum": 0.5},
            },
            "required": ["query", "filters", "exact", "limit"],
        },
    },
}

TEXTS = {
    "one word": "Hello",
    "empty": "",
    "spaces": "  \t \n  ",
    "german": "Größenwahn, süße Äpfel und Öfen: ß",
    "french": "L’été où j’ai reçu « ça » à Noël",
    "greek": "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία",
    "russian": "Съешь ещё этих мягких французских булок",
    "japanese": "いろはにほへと ちりぬるを 東京都港区",
    "chinese": "天地玄黄 宇宙洪荒 日月盈昃",
    "korean": "키스의 고유조건은 입술끼리 만나야 하고",
    "thai": "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า",
    "hindi": "ऋषियों को सताने वाले दुष्ट राक्षसों",
    "hebrew": "דג סקרן שט בים מאוכזב ולפתע מצא חברה",
    "arabic": "صِف خَلقَ خَودِ كَمِثلِ الشَمسِ",
    "mixed directions": "left \u202eright\u202c and \u2067עברית\u2069 again \u200f!",
    "emoji": "🙂🚀❤️‍🔥👩🏽‍🚒🏳️‍🌈🇯🇵1️⃣",
    "family": "👨‍👩‍👧‍👦" * 20,
    "combining": "Z̷̢̛a̴̧l̸̨g̵o̷ e\u0301 vs é",
    "zero width": "a\u200bb\u200cc\u200dd\ufeffe",
    "byte order mark": "\ufefftext",
    "line separators": "one\u2028two\u2029three\u0085four",
    "line ends": "one\r\ntwo\rthree\nfour\n\n\nfive",
    "control characters": "".join(map(chr, range(32))) + "\x7f",
    "null": "before\x00after",
    "ansi": "\x1b[31mred\x1b[0m",
    "last code points": "\ufffd\uffff\U0001f600\U0010ffff",
    "private use": "\ue000\uf8ff\U000f0000",
    "quotes": "\"double\" 'single' `tick` \\back\\slash\\",
    "escapes": r"\n \t \u0041 \x41 \\ \" \/",
    "json": '{"model": "gpt-4", "messages": [{"role": "user"}]}',
    "markup": "<script>alert('x')</script> &amp; <!-- --> <![CDATA[ ]]>",
    "markdown": "# Title\n\n```python\nprint('hi')\n```\n\n| a | b |\n|---|---|",
    "looks like the end of a stream": "data: [DONE]\n\n",
    "says done": "[DONE] [DONE] [DONE]",
    "looks like an event": 'data: {"error": {"message": "no"}}\n\nevent: error\n\n: comment\n\nid: 1',
    "looks like usage": '"usage":{"prompt_tokens":1} "usage": {"x": 1} "choices":[]',
    "looks like an ending": '"finish_reason":"stop" "finish_reason": "length" "error" "error":{}',
    "looks like a header": "x: y\r\nset-cookie: a=b\r\n\r\nHTTP/1.1 200 OK",
    "looks like a key": "Bearer gh_0123456789 sk-proj-abcdef",
    "looks like chunks": "0\r\n\r\n5\r\nhello\r\n",
    "sql": "'; DROP TABLE students; --",
    "template": "{{ user }} {% if x %} ${HOME} %s %(a)s {0}",
    "numbers": "0 -0 1e308 NaN Infinity 9007199254740993 0x1F",
    "url": "https://user:pw@example.org:8443/p/a?q=1&r=%20#f",
    "one long word": "a" * 5_000,
    "30 KB": "The quick brown fox jumps over the lazy dog. " * 683,
    "30 KB of three bytes": "漢" * 10_240,
    "100 KB": "".join(random.Random(1).choices(string.printable, k=100_000)),
}
_ALPHABETS = [
    string.printable,
    "".join(map(chr, range(0x00A0, 0x0250))),
    "".join(map(chr, range(0x0590, 0x06FF))),
    "".join(map(chr, range(0x4E00, 0x4F00))),
    "".join(map(chr, range(0x1F300, 0x1F600))),
    "".join(map(chr, [*range(0x20), *range(0x2000, 0x2070), 0xFEFF, 0xFFFF])),
]
_SETTINGS: dict[str, list[Any]] = {
    "temperature": [0, 0.7, 1.999, 2],
    "top_p": [0, 0.1, 1],
    "n": [1, 2, 5],
    "stop": ["answer", ["\n", "simulated"], []],
    "max_tokens": [1, 4, 1000],
    "max_completion_tokens": [1, 7],
    "presence_penalty": [-2, 0.5],
    "frequency_penalty": [1.25, 2],
    "logit_bias": [{"50256": -100}, {}],
    "seed": [0, -1, 2**63 - 1],
    "user": ["user-1", "用户 🙂"],
    "metadata": [{"team": "größe", "run": "7"}],
    "store": [True, False],
    "service_tier": ["auto", "default"],
    "logprobs": [True, False],
    "reasoning_effort": ["low"],
    "modalities": [["text"]],
    "prediction": [{"type": "content", "content": "This is"}],
    "verbosity": ["low"],
    "safety_identifier": ["abc"],
    "prompt_cache_key": ["k"],
    "web_search_options": [{"search_context_size": "low"}],
}
_EXTRA: dict[str, Body] = {
    "a word": {"made_up": "yes"},
    "null": {"made_up": None},
    "nested": {"made_up": {"a": [1, {"b": [True, None, "ü"]}], "": {}}},
    "numbers": {"ints": [0, -1, 2**53, 2**63 - 1, -(2**63)], "floats": [0.1, 1e-7, 1.5e300, -0.0]},
    "names that are no words": {"ключ": 1, "a b": 2, "\n": 3, "x-y.z": 4, "🙂": 5},
    "deep": {"made_up": json.loads("[" * 60 + "]" * 60)},
    "wide": {f"field_{number}": number for number in range(500)},
    "another provider's": {"top_k": 40, "min_p": 0.05, "repetition_penalty": 1.1, "safe_prompt": True},
    "routing words": {"provider": {"order": ["a", "b"]}, "route": "fallback", "config": {"targets": []}},
}


def user(content: Any) -> Body:
    return {"role": "user", "content": content}


def chats() -> dict[str, Body]:
    """Chat requests by name."""
    return {name: {"model": "sim-chat", **body} for name, body in _chats()}


def _chats() -> Iterator[tuple[str, Body]]:
    for name, text in TEXTS.items():
        yield f"text: {name}", {"messages": [user(text)]}
    for number in range(30):
        yield f"random text {number}", {"messages": [user(_random_text(random.Random(number), 400))]}
    yield from _shapes()
    for field, values in _SETTINGS.items():
        for value in values:
            yield f"{field}: {value!r:.30}", {"messages": [user("Say something")], field: value}
    for top in (0, 1, 20):
        yield f"top_logprobs: {top}", {"messages": [user("Why?")], "logprobs": True, "top_logprobs": top}
    yield from _tools()
    yield from _formats()
    for name, extra in _EXTRA.items():
        yield f"unknown fields: {name}", {"messages": [user("Hello")], "extra_body": extra}
    for number in range(40):
        yield f"anything {number}", _anything(random.Random(1_000 + number))


def _shapes() -> Iterator[tuple[str, Body]]:
    system, developer = ({"role": role, "content": "You are terse."} for role in ("system", "developer"))
    said = {"role": "assistant", "content": "Sure."}
    call = {"id": "call_1", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}
    text = {"type": "text", "text": "What is this?"}
    shapes: dict[str, list[Body]] = {
        "system": [system, user("Hi")],
        "developer": [developer, user("Hi")],
        "system alone": [system],
        "assistant last": [user("Hi"), said],
        "empty assistant": [user("Hi"), {"role": "assistant"}, user("Go on")],
        "names": [{**user("Hi"), "name": "Zoë"}, {**said, "name": "bot"}, user("Again")],
        "refusal": [user("Hi"), {"role": "assistant", "content": None, "refusal": "No."}, user("Please")],
        "refusal part": [
            user("Hi"),
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
            user("Please"),
        ],
        "tool round": [
            user("What time is it?"),
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": '{"time": "12:00 ☀"}'},
        ],
        "tool round in parts": [
            user("What time is it?"),
            {"role": "assistant", "content": None, "tool_calls": [call, {**call, "id": "call_2"}]},
            {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "12:00"}]},
            {"role": "tool", "tool_call_id": "call_2", "content": ""},
            user("And there?"),
        ],
        "parts": [user([text, {"type": "text", "text": "And “this”?"}])],
        "no parts": [user([])],
        "image by address": [user([text, {"type": "image_url", "image_url": {"url": "https://example.org/ä.png"}}])],
        "image as data": [user([text, {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}}])],
        "large image": [user([{"type": "image_url", "image_url": {"url": _data_url(60_000)}}, text])],
        "images": [user([text, *[{"type": "image_url", "image_url": {"url": PIXEL, "detail": "high"}}] * 8])],
        "audio": [user([text, {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}])],
        "file": [user([text, {"type": "file", "file": {"filename": "a.pdf", "file_data": _data_url(3_000)}}])],
        "same message often": [user("again")] * 50,
    }
    for name, messages in shapes.items():
        yield f"shape: {name}", {"messages": messages}
    for turns in (2, 3, 10, 40):
        history = [user(f"Question {n} “{chr(0x3041 + n)}”") if n % 2 == 0 else said for n in range(turns)]
        yield f"shape: {turns} turns", {"messages": [system, *history, user("Well?")]}


def _tools() -> Iterator[tuple[str, Body]]:
    ask = [user("What is the weather in 東京?")]
    every = [WEATHER, CLOCK, SEARCH]
    for tool in every:
        name = tool["function"]["name"]  # type: ignore[index]
        yield f"tool: {name}", {"messages": ask, "tools": [tool]}
        for choice in ("auto", "required", "none"):
            yield f"tool: {name} {choice}", {"messages": ask, "tools": [tool], "tool_choice": choice}
        named = {"type": "function", "function": {"name": name}}
        yield f"tool: {name} by name", {"messages": ask, "tools": every, "tool_choice": named}
    for parallel in (True, False):
        yield f"tools: parallel {parallel}", {"messages": ask, "tools": every, "parallel_tool_calls": parallel}
    yield "tools: twice", {"messages": ask, "tools": every, "parallel_tool_calls": True, "n": 2}
    many = [{"type": "function", "function": {"name": f"tool_{n}", "description": "d" * 200}} for n in range(100)]
    yield "tools: a hundred", {"messages": ask, "tools": many}


def _formats() -> Iterator[tuple[str, Body]]:
    schemas: dict[str, Body] = {
        "weather": WEATHER["function"]["parameters"],  # type: ignore[index]
        "search": SEARCH["function"]["parameters"],  # type: ignore[index]
        "nested": {
            "type": "object",
            "properties": {"a": {"type": "object", "properties": {"ü": {"type": "null"}}, "required": ["ü"]}},
            "required": ["a"],
        },
    }
    for kind in ("text", "json_object"):
        yield f"format: {kind}", {"messages": [user("As JSON")], "response_format": {"type": kind}}
    for name, schema in schemas.items():
        form = {"type": "json_schema", "json_schema": {"name": name, "schema": schema, "strict": True}}
        yield f"format: {name}", {"messages": [user("Fill it in")], "response_format": form}


def _anything(dice: random.Random) -> Body:
    """Several things at once, as far as they go together."""
    turns = [user(_random_text(dice, 300)) for _ in range(dice.randint(1, 4))]
    fields = dice.sample(sorted(_SETTINGS), dice.randint(2, 7))
    body: Body = {"messages": turns, **{field: dice.choice(_SETTINGS[field]) for field in fields}}
    if dice.random() < 0.3:
        body |= {"tools": [WEATHER, CLOCK], "parallel_tool_calls": dice.random() < 0.5}
    elif dice.random() < 0.3:
        body["response_format"] = {"type": "json_object"}
    if dice.random() < 0.3:
        body["extra_body"] = dice.choice(list(_EXTRA.values()))
    return body


def _random_text(dice: random.Random, longest: int) -> str:
    return "".join(dice.choice(dice.choice(_ALPHABETS)) for _ in range(dice.randint(1, longest)))


def _data_url(size: int) -> str:
    return "data:application/octet-stream;base64," + base64.b64encode(random.Random(size).randbytes(size)).decode()
