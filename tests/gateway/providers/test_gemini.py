"""What the Gemini API has that others have not: signatures of calls, levels of thought, prompts that are blocked."""

import re
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from gateway.providers.base import BrokenAnswer, Call, Door, Translated, Untranslatable, Usage
from gateway.providers.gemini.provider import Gemini
from gateway.providers.gemini.request import UNSIGNED, to_content
from gateway.providers.gemini.usage import counted
from gateway.providers.openai.provider import OpenAI
from gateway.providers.registry import built_in_rows
from gateway.providers.vertex.provider import Vertex
from gateway.view.plan import place_of
from shared.crypto.secret import Secret

PLACE = place_of(built_in_rows()["google"])
ASK = [{"role": "user", "content": "q"}]
CALLED = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def call(body: dict[str, Any], *, stream: bool = False) -> Call:
    body = {"model": "gemini-2.5-flash", "messages": ASK, **body}
    return Call(Door.CHAT, orjson.dumps(body), body, stream=stream, created_s=1)


def translated(body: dict[str, Any], model: str = "gemini-2.5-flash", *, stream: bool = False) -> Translated:
    return Gemini().request(call(body, stream=stream), PLACE, Secret("k"), {}, model)


def sent(body: dict[str, Any], model: str = "gemini-2.5-flash") -> dict[str, Any]:
    asked: dict[str, Any] = orjson.loads(translated(body, model).body)
    return asked


def answered(content: dict[str, Any], body: dict[str, Any] | None = None) -> tuple[dict[str, Any], Usage]:
    answer, usage = Gemini().answer(call(body or {}), orjson.dumps(content))
    return orjson.loads(answer), usage


def candidate(*parts: dict[str, Any], finish: str = "STOP", **more: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, "finishReason": finish, **more}]}


def test_the_model_stands_in_the_path_and_cannot_leave_it() -> None:
    assert translated({}).target == "/v1beta/models/gemini-2.5-flash:generateContent"
    assert translated({}, stream=True).target == "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
    assert translated({}, "models/x").target == "/v1beta/models/x:generateContent"
    assert translated({}, "../files?x#").target == "/v1beta/models/..%2Ffiles%3Fx%23:generateContent"
    assert b"x-goog-api-key: k\r\n" in translated({}).headers


@pytest.mark.parametrize(
    ("model", "effort", "config"),
    [
        ("gemini-2.5-flash", "none", {"includeThoughts": False, "thinkingBudget": 0}),
        ("gemini-2.5-flash", "medium", {"includeThoughts": True, "thinkingBudget": 8_192}),
        ("gemini-3-pro-preview", "low", {"includeThoughts": True, "thinkingLevel": "low"}),
        ("gemini-3.1-pro-preview", "minimal", {"includeThoughts": True, "thinkingLevel": "low"}),
        ("gemini-3.8-flash", "minimal", {"includeThoughts": True, "thinkingLevel": "low"}),
        ("gemini-3.6-flash", "minimal", {"includeThoughts": True, "thinkingLevel": "minimal"}),
        ("gemini-3.5-flash-lite", "minimal", {"includeThoughts": True, "thinkingLevel": "minimal"}),
        ("gemini-3.5-flash", "xhigh", {"includeThoughts": True, "thinkingLevel": "high"}),
    ],
)
def test_effort_is_a_budget_or_a_level_as_the_model_knows_it(model: str, effort: str, config: dict[str, Any]) -> None:
    assert sent({"reasoning_effort": effort}, model)["generationConfig"]["thinkingConfig"] == config


def test_thought_that_cannot_be_switched_off_is_refused_so() -> None:
    with pytest.raises(Untranslatable) as refused:
        sent({"reasoning_effort": "none"}, "gemini-3-pro-preview")
    assert refused.value.pointer == "/reasoning_effort"


def test_budgets_of_the_caller_s_own_pass() -> None:
    config = sent({"thinking": {"type": "enabled", "budget_tokens": 77}})["generationConfig"]
    assert config["thinkingConfig"] == {"includeThoughts": True, "thinkingBudget": 77}


def model_turn(turn: dict[str, Any], model: str) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = sent({"messages": [*ASK, {"role": "assistant", **turn}]}, model)["contents"][1][
        "parts"
    ]
    return parts


def test_a_signature_alone_goes_back_in_a_text_of_nothing_as_it_came() -> None:
    """The turn had no parts, which the provider refuses: the conversation was over."""
    part = {"text": "", "thoughtSignature": "czE="}
    answer, _ = answered(candidate(part))
    message = answer["choices"][0]["message"]
    made = sent({"messages": [*ASK, message, *ASK]})["contents"]
    assert made[1] == {"role": "model", "parts": [part]}


def test_a_call_s_signature_goes_back_to_where_it_came_from() -> None:
    chat, _ = answered(
        {
            **candidate(
                {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "czE="}, {"functionCall": {"name": "g"}}
            ),
            "responseId": "r9",
        }
    )
    message = chat["choices"][0]["message"]
    assert [made["id"] for made in message["tool_calls"]] == ["call_r9_0", "call_r9_1"]
    for kept in (message, {**message, "content_blocks": []}):  # Whichever of the two a client keeps.
        parts = model_turn(kept, "gemini-3-pro-preview")
        assert [part.get("thoughtSignature") for part in parts] == ["czE=", None]
    bare = [{**made, "function": {"name": made["function"]["name"]}} for made in message["tool_calls"]]
    assert model_turn({**message, "tool_calls": bare}, "gemini-3")[0]["thoughtSignature"] == "czE="


def test_calls_of_two_answers_that_bear_no_ids_are_not_called_alike() -> None:
    said = orjson.dumps(candidate({"functionCall": {"name": "f"}}))
    found = set()
    for id_ in ("lg_1", "lg_2"):
        chat, _ = Gemini().answer(replace(call({}), id=id_), said)
        found.add(orjson.loads(chat)["choices"][0]["message"]["tool_calls"][0]["id"])
        reader = Gemini().stream(replace(call({}, stream=True), id=id_))
        (told,) = re.findall(rb'"id":"(call_[^"]*)"', reader.feed(b"data: %b\n\n" % said))
        assert told.decode() in found
    assert len(found) == 2


def test_a_newer_model_is_told_that_a_call_comes_from_elsewhere() -> None:
    assert model_turn({"tool_calls": [CALLED]}, "gemini-3-flash")[0]["thoughtSignature"] == UNSIGNED
    for model in ("gemini-flash-latest", "gemini-pro-latest", "gemini-flash-lite-latest"):  # Of the newest, whichever.
        assert model_turn({"tool_calls": [CALLED]}, model)[0]["thoughtSignature"] == UNSIGNED
    for model in ("gemini-2.5-flash", "gemini-2.5-flash-native-audio-latest", "gemini-1.5-pro-latest"):
        assert "thoughtSignature" not in model_turn({"tool_calls": [CALLED]}, model)[0]


def test_a_result_of_no_call_is_refused_by_its_place() -> None:
    with pytest.raises(Untranslatable) as refused:
        sent({"messages": [{"role": "tool", "tool_call_id": "x", "content": "y"}]})
    assert (refused.value.pointer, refused.value.unsupported) == ("/messages/0/tool_call_id", False)


def test_tools_of_the_provider_s_own_stand_beside_functions() -> None:
    function = {"type": "function", "function": {"name": "f"}}
    assert [[*tool] for tool in sent({"tools": [{"urlContext": {}}, function], "web_search_options": {}})["tools"]] == [
        ["functionDeclarations"],
        ["urlContext"],
        ["googleSearch"],
    ]


def test_a_blocked_prompt_is_an_answer_that_was_filtered() -> None:
    blocked = {
        "promptFeedback": {"blockReason": "SAFETY"},
        "usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 4},
    }
    chat, usage = answered(blocked)
    assert chat["choices"][0]["finish_reason"] == "content_filter"
    assert (usage.input_tokens, usage.output_tokens, usage.estimated) == (4, 0, False)
    reader = Gemini().stream(call({}, stream=True))
    events = reader.feed(b"data: %b\r\n\r\n" % orjson.dumps(blocked)) + reader.end()
    assert b'"finish_reason":"content_filter"' in events
    assert events.endswith(b"data: [DONE]\n\n")


def test_an_answer_without_candidates_is_none() -> None:
    with pytest.raises(BrokenAnswer):
        answered({"usageMetadata": {"promptTokenCount": 4}})


def test_probabilities_come_in_a_chat_s_words() -> None:
    likely = {"token": "é", "logProbability": -0.25}
    told = {"chosenCandidates": [likely], "topCandidates": [{"candidates": [likely, {"token": "x"}]}]}
    wanted = {"token": "é", "logprob": -0.25, "bytes": [0xC3, 0xA9]}
    chat, _ = answered(candidate({"text": "é"}, logprobsResult=told))
    (token,) = chat["choices"][0]["logprobs"]["content"]
    assert {name: token[name] for name in wanted} == wanted
    assert [other["token"] for other in token["top_logprobs"]] == ["é", "x"]
    reader = Gemini().stream(call({}, stream=True))
    events = reader.feed(b"data: %b\n\n" % orjson.dumps(candidate({"text": "é"}, logprobsResult=told)))
    assert b'"logprob":-0.25' in events


def test_pictures_and_sound_are_counted_as_what_they_are() -> None:
    usage = {
        "promptTokenCount": 10,
        "candidatesTokenCount": 20,
        "toolUsePromptTokenCount": 5,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 3}, {"modality": "TEXT", "tokenCount": 7}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 20}],
    }
    picture = {"inlineData": {"mimeType": "image/png", "data": "aQ=="}}
    chat, seen = answered({**candidate(picture), "usageMetadata": usage})
    assert seen == Usage(input_tokens=15, output_tokens=20, audio_input_tokens=3, unpriced=True)
    (block,) = chat["choices"][0]["message"]["content_blocks"]
    assert block == {"type": "image_url", "image_url": {"url": "data:image/png;base64,aQ=="}}


@pytest.mark.parametrize(("modality", "unpriced"), [("TEXT", False), ("AUDIO", True)])
def test_sound_from_the_cache_is_not_charged_as_cached_and_as_sound(modality: str, unpriced: bool) -> None:
    usage = {
        "promptTokenCount": 3_000,
        "candidatesTokenCount": 20,
        "cachedContentTokenCount": 1_000,
        "cacheTokensDetails": [{"modality": modality, "tokenCount": 1_000}],
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 1_000}, {"modality": "TEXT", "tokenCount": 2_000}],
    }
    assert counted(usage) == Usage(3_000, 20, 1_000, audio_input_tokens=1_000, unpriced=unpriced)


@pytest.mark.parametrize("name", ["cachedContentTokenCount", "thoughtsTokenCount", "toolUsePromptTokenCount"])
def test_a_part_that_is_no_count_leaves_the_cost_unknown(name: str) -> None:
    assert counted({"promptTokenCount": 9, "candidatesTokenCount": 2, name: "7"}) == Usage(9, 2, unpriced=True)


def test_a_cut_stream_s_output_is_estimated_whatever_its_bits_counted() -> None:
    reader = Gemini().stream(call({}, stream=True))
    bit = {"candidates": [{"content": {"parts": [{"text": "x" * 40}]}}]}
    reader.feed(
        b"data: %b\n\n" % orjson.dumps({**bit, "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 1}})
    )
    assert (reader.usage.input_tokens, reader.usage.output_tokens, reader.usage.estimated) == (9, 10, True)


def test_what_a_cut_stream_had_told_is_not_forgotten() -> None:
    """Sound was counted as text, which costs a fraction; thoughts that nobody was shown were not counted."""
    reader = Gemini().stream(call({}, stream=True))
    usage = {
        "promptTokenCount": 900,
        "candidatesTokenCount": 1,
        "thoughtsTokenCount": 5_000,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 800}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1}],
    }
    bit = {"candidates": [{"content": {"parts": [{"text": "x" * 40}]}}], "usageMetadata": usage}
    reader.feed(b"data: %b\n\n" % orjson.dumps(bit))
    told = Usage(900, 5_001, reasoning_tokens=5_000, audio_input_tokens=800, unpriced=True)
    assert reader.usage == replace(told, estimated=True)


@pytest.mark.parametrize("wrap", [lambda error: error, lambda error: [error]])
def test_errors_come_alone_or_in_a_list(wrap: Any) -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
    error = {"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT", "details": details}}
    told = orjson.loads(Gemini().error("acme", 400, {}, orjson.dumps(wrap(error))))["error"]
    assert (told["code"], told["type"]) == ("invalid_api_key", "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    ("delay", "told_s"),
    [
        ("17s", 17),
        ("0s", 0),
        ("0.002907394s", 0.002907394),
        ("17", None),
        ("-1s", None),
        ("1e9s", None),
        ("٣s", None),
        ("9" * 20 + "s", None),
        (17, None),
        (None, None),
    ],
)
def test_a_limit_says_in_a_detail_when_it_is_over(delay: Any, told_s: float | None) -> None:
    details = [None, {"@type": 5}, {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}]
    error = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": details}}
    for adapter in (Gemini(), Vertex(), OpenAI()):
        assert adapter.retry_after_s(orjson.dumps(error)) == told_s
        assert adapter.retry_after_s(orjson.dumps([error])) == told_s
    assert Gemini().retry_after_s(orjson.dumps({"error": {"details": details[2]}})) is None


def test_an_error_that_comes_in_a_list_keeps_its_words_in_either_dialect() -> None:
    error = [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota exceeded."}}]
    for adapter in (Gemini(), OpenAI()):
        told = orjson.loads(adapter.error("google", 429, {"content-type": "application/json"}, orjson.dumps(error)))
        assert told["error"]["message"] == "google error: Quota exceeded."


def test_hints_about_caches_are_told_wherever_they_stand() -> None:
    hint = {"cache_control": {"type": "ephemeral"}}
    said = [{"role": "user", "content": "x"}]
    for more in (
        {"messages": [{"role": "system", "content": [{"type": "text", "text": "x", **hint}]}, *said]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", **hint}]}]},
        {"messages": said, "tools": [{"type": "function", "function": {"name": "f"}, **hint}]},
    ):
        assert to_content({"model": "m", **more}, "m")[1] == {"cache_control"}
