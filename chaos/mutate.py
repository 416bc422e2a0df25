"""Valid bytes made wrong, by chance that can be repeated: bodies, heads and event streams. Pure."""

import random
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import orjson

ODD: Sequence[Any] = (
    None,
    True,
    -1,
    0,
    1e308,
    2**63,
    0.1,
    "",
    "\u0000",
    "\ud7ff\U0001f600",
    "x" * 3_000,
    "@simulator/sim-chat",
    "gh_" + "x" * 49,
    [],
    {},
    [[[[[[[[{}]]]]]]]],
    {"type": "text"},
    [{"role": "user", "content": None}],
)
BITS: Sequence[bytes] = (
    *(b"\x00", b"\xff\xfe", b"\r\n", b"\n\n", b"\\u", b"\\ud800", b'"', b"{", b"}", b"]", b",", b":", b"null"),
    *(b"1e999", b"-0", b"[" * 600, b'{"a":' * 300, b'"model":"other",', b"\xed\xa0\x80", b"data: ", b"event: x\n"),
)
_FILLERS = (b": ping\n\n", b"\n", b"id: 1\nretry: 5\n\n", b"data:\n\n", b"data: 1\n\n")
_ENDINGS = (b"\n", b"\r\n", b"\r")


def body(seed: dict[str, Any], chance: random.Random) -> bytes:
    """A request's body: another value somewhere in it, or other bytes, or both."""
    kind = chance.random()
    if kind < 0.6:
        changed = orjson.loads(orjson.dumps(seed))
        for _ in range(chance.randint(1, 3)):
            _change(changed, chance)
        data = orjson.dumps(changed)
        return data if kind < 0.5 else scrambled(data, chance)
    return scrambled(orjson.dumps(seed), chance)


def scrambled(data: bytes, chance: random.Random) -> bytes:
    """Bytes put in, taken away, doubled, turned or cut off, in one to four places."""
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(data))
        some = chance.randint(0, min(40, len(data) - at))
        kept, part, rest = data[:at], data[at : at + some], data[at + some :]
        match chance.randint(0, 5):
            case 0:
                data = kept + chance.choice(BITS) + part + rest
            case 1:
                data = kept + rest
            case 2:
                data = kept + part * chance.randint(2, 20) + rest
            case 3:
                data = kept + chance.randbytes(len(part)) + rest
            case 4:
                data = kept + part[::-1] + rest
            case _ if chance.random() < 0.3:
                data = kept
    return data


def stream(events: Sequence[bytes], chance: random.Random) -> list[bytes]:
    """An event stream in pieces as they come, one to each write; whole and right about one time in five."""
    told = list(events)
    if chance.random() < 0.8:
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(told))
            match chance.randint(0, 6):
                case 0:
                    told[at] = scrambled(told[at], chance)
                case 1:
                    del told[at:]
                case 2:
                    told.insert(
                        at, chance.choice((b": ping\n\n", b"\n", b"id: 1\nretry: 5\n\n", b"data:\n\n", b"data: 1\n\n"))
                    )
                case 3:
                    told.insert(at, b'data: {"error": {"message": "broke", "code": 500}}\n\n')
                case 4:
                    told.insert(at, told[at])
                case 5:
                    chance.shuffle(told)
                case _:
                    told[at] = told[at].replace(b"content", b"c" * chance.randint(1, 2_000))
            if not told:
                break
    whole = b"".join(told).replace(b"\n", chance.choice(_ENDINGS))
    cuts = sorted(chance.randint(0, len(whole)) for _ in range(chance.randint(0, 12)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    return [piece for piece in pieces if piece]


def _change(value: Any, chance: random.Random) -> None:
    """Put something odd in one place of it, or take one away."""
    while True:
        places = list(value) if isinstance(value, dict) else range(len(value))
        if not places:
            return
        place = chance.choice(list(places))
        inner = value[place]
        if isinstance(inner, dict | list) and inner and chance.random() < 0.7:
            value = inner
            continue
        if chance.random() < 0.2:
            del value[place]
        elif isinstance(value, dict) and chance.random() < 0.15:
            value[f"{place}x"] = value.pop(place)
        else:
            value[place] = deepcopy(chance.choice(ODD))  # It may be changed in its turn.
        return
