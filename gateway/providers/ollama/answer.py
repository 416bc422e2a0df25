"""A chat's answer in Ollama's words, and what it used (pure)."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from gateway.providers.base import BrokenAnswer, Call, Usage
from gateway.providers.body import word
from gateway.providers.chat_answer import whole
from gateway.providers.estimate import settled, text_bytes
from gateway.providers.openai.usage import count


def to_chat(call: Call, answer: Mapping[str, Any]) -> tuple[bytes, Usage]:
    """Raises BrokenAnswer."""
    message = message_of(answer)
    text, thought = text_of(message, "content"), text_of(message, "thinking")
    calls = [*calls_of(message, call, 0)]
    said: dict[str, Any] = {"role": "assistant", "content": text if text or not calls else None}
    if thought:
        said["reasoning_content"] = thought
        said["content_blocks"] = [{"type": "thinking", "thinking": thought}]
    if calls:
        said["tool_calls"] = calls
    usage = settled(counted(answer), call, text_bytes(said))
    finish = finish_of(answer, calls=bool(calls))
    try:
        model = str(call.body.get("model"))
        return whole(call, call.id, model, said, finish, usage, logprobs=logprobs_of(answer)), usage
    except orjson.JSONEncodeError:  # orjson reads deeper than it writes.
        raise BrokenAnswer("the answer is nested too deep to be translated") from None


def message_of(answer: Mapping[str, Any]) -> dict[str, Any]:
    message = answer.get("message")
    if not isinstance(message, dict):
        raise BrokenAnswer("the answer holds no message")
    return message


def text_of(message: Mapping[str, Any], name: str) -> str:
    text = message.get(name)
    return text if isinstance(text, str) else ""


def calls_of(message: Mapping[str, Any], call: Call, first: int) -> Iterator[dict[str, Any]]:
    """The tool calls, with ids: their own, or such as no other answer's calls have. Raises BrokenAnswer."""
    calls = message.get("tool_calls") or ()
    if not isinstance(calls, list | tuple):
        raise BrokenAnswer("it calls what is no tool")
    answer = call.id.removeprefix("lg_")  # With it an id would be longer than the 40 characters that OpenAI takes.
    for at, one in enumerate(calls, first):
        function = one.get("function") if isinstance(one, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise BrokenAnswer("it calls a tool without a name")
        arguments = function.get("arguments")
        try:
            written = orjson.dumps(arguments if isinstance(arguments, dict) else {}).decode()
        except orjson.JSONEncodeError:
            raise BrokenAnswer("the answer is nested too deep to be translated") from None
        if isinstance(arguments, str) and arguments:  # As other servers that speak this API send them.
            written = arguments
        id_ = word(one.get("id")) or f"call_{answer}_{at}"
        yield {"id": id_, "type": "function", "function": {"name": function["name"], "arguments": written}}


def finish_of(answer: Mapping[str, Any], *, calls: bool) -> str:
    """Of a stop that calls tools, the provider says no more than that it stopped."""
    if answer.get("done_reason") == "length":
        return "length"
    return "tool_calls" if calls else "stop"


def logprobs_of(answer: Mapping[str, Any]) -> dict[str, Any] | None:
    found = answer.get("logprobs")
    if not isinstance(found, list) or not found:
        return None
    return {"content": [_token(one) for one in found], "refusal": None}


def _token(one: Any) -> dict[str, Any]:
    if not isinstance(one, dict):
        raise BrokenAnswer("the answer holds a token that is none")
    others = one.get("top_logprobs")
    top = [_bare(other) for other in others if isinstance(other, dict)] if isinstance(others, list) else []
    return {**_bare(one), "top_logprobs": top}


def _bare(token: Mapping[str, Any]) -> dict[str, Any]:
    text = token.get("token")
    text = text if isinstance(text, str) else ""
    return {"token": text, "logprob": token.get("logprob"), "bytes": list(text.encode("utf-8", "surrogatepass"))}


def counted(answer: Mapping[str, Any]) -> Usage | None:
    """None: it says nothing. A prompt that the server still held in memory, some versions do not count."""
    input_, output = count(answer.get("prompt_eval_count")), count(answer.get("eval_count"))
    return None if input_ is None and output is None else Usage(input_tokens=input_, output_tokens=output)
