"""What a model says, in no provider's words: what every adapter must bring to the client, and nothing else."""

from dataclasses import dataclass, field, replace
from typing import Any

import orjson


@dataclass(frozen=True)
class Call:
    id: str
    name: str
    input: dict[str, Any]

    @property
    def arguments(self) -> str:
        return orjson.dumps(self.input).decode()


@dataclass(frozen=True)
class Counts:
    """Input with what was cached, output with what was thought, as in `Usage`. None: the provider does not say."""

    input: int = 31
    output: int = 17
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None


@dataclass(frozen=True)
class Said:
    text: str = ""
    thought: str = ""
    signature: str = ""
    calls: tuple[Call, ...] = ()
    finish: str = "stop"
    """As chats word it."""
    word: str = ""
    """The provider's own for why it ended, where it has several."""
    counts: Counts = field(default_factory=Counts)


def seen_whole(chat: dict[str, Any]) -> Said:
    """What a client finds in a chat's whole answer."""
    (choice,) = chat["choices"]
    message = choice["message"]
    assert chat["object"] == "chat.completion"
    assert isinstance(chat["created"], int)
    assert chat["model"]
    assert message["role"] == "assistant"
    thoughts = [block for block in message.get("content_blocks") or () if block.get("type") == "thinking"]
    calls = tuple(
        Call(call["id"], call["function"]["name"], orjson.loads(call["function"]["arguments"]))
        for call in message.get("tool_calls") or ()
    )
    return Said(
        message["content"] or "",
        message.get("reasoning_content") or "".join(block["thinking"] for block in thoughts),
        "".join(block.get("signature", "") for block in thoughts),
        calls,
        choice["finish_reason"],
    )


def seen_stream(events: bytes) -> Said:
    """What a client puts together of a chat's stream, which ends as it should."""
    frames = [frame for frame in events.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n\n") if frame]
    datas = [frame.removeprefix(b"data: ") for frame in frames if frame.startswith(b"data:")]
    assert datas[-1] == b"[DONE]", "a stream ends with its last word"
    assert datas.count(b"[DONE]") == 1
    said = Said(finish="")
    thought, words, signature = "", "", ""
    calls: dict[int, dict[str, str]] = {}
    ids = set()
    for data in datas[:-1]:
        chunk = orjson.loads(data)
        assert chunk["object"] == "chat.completion.chunk"
        ids.add((chunk["id"], chunk["created"], chunk["model"]))
        for choice in chunk["choices"]:
            assert said.finish == "", "nothing comes behind the finish"
            delta = choice["delta"]
            said = replace(said, text=said.text + (delta.get("content") or ""), finish=choice["finish_reason"] or "")
            words += delta.get("reasoning_content") or ""
            for block in delta.get("content_blocks") or ():
                thought += block["delta"].get("thinking", "")
                signature += block["delta"].get("signature", "")
            for call in delta.get("tool_calls") or ():
                held = calls.setdefault(call["index"], {"id": "", "name": "", "arguments": ""})
                held["id"] += call.get("id") or ""
                held["name"] += call["function"].get("name") or ""
                held["arguments"] += call["function"].get("arguments") or ""
    assert len(ids) == 1, "every chunk is of the same answer"
    assert list(calls) == list(range(len(calls))), "tool calls are numbered as they come"
    made = tuple(Call(held["id"], held["name"], orjson.loads(held["arguments"])) for held in calls.values())
    return replace(said, thought=words or thought, signature=signature, calls=made)
