"""Which path is answered how: one table of what the simulated provider offers."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from embedded.simulator import (
    api_chat,
    audio,
    chat_v2,
    chunked,
    contents,
    converse,
    embeddings,
    errors,
    images,
    messages,
    models,
    moderations,
    rerank,
)
from embedded.simulator.batches import Batches
from embedded.simulator.chat import Chat
from embedded.simulator.checks import Body
from embedded.simulator.completions import Completion
from embedded.simulator.files import Files
from embedded.simulator.forms import Form
from embedded.simulator.misbehaviour import CHAT, EMBED, Behaviour, behaviour_of
from embedded.simulator.replies import Reply, Whole, unnamed
from embedded.simulator.responses import Responses
from embedded.simulator.upload import Upload

SIMULATE = "simulate"
"""A query parameter that names a model, on paths whose requests name none: `?simulate=sim-cut-0`."""

_NAMED = re.compile(r"/model/(?P<model>.+)/(?P<action>[a-z-]+)")
_METHOD = re.compile(r"/v1(?:beta)?/models/(?P<model>[^/:]+):(?P<action>[A-Za-z]+)")
_PUBLISHED = re.compile(
    r"/v1(?:beta1)?/projects/[^/]+/locations/[^/]+/publishers/[a-z]+/models/(?P<model>[^/:]+):(?P<action>[A-Za-z]+)"
)
_DEPLOYED = re.compile(r"/[a-z]+/deployments/(?P<model>[^/]+)/(?P<action>[a-z]+(?:/[a-z]+)?)")
Json = Callable[[Body, Behaviour], Reply]
Filled = Callable[[Form], Reply]
Looked = Callable[[str, dict[str, str]], Reply]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for, the model's name, and how it shall be answered."""

    model: str | None
    behaviour: Behaviour
    reply: Callable[[], Reply]


class Doors:
    def __init__(self) -> None:
        self._files = Files()
        self._responses = Responses()
        self._batches = Batches(self._files, self._answer_line)
        self._json: Mapping[str, Json] = {
            "/v1/chat/completions": _chat,
            "/v1/completions": _completion,
            "/v1/embeddings": lambda body, _: Whole(embeddings.answer(body)),
            "/v1/moderations": lambda body, _: Whole(moderations.answer(body)),
            "/v1/rerank": lambda body, _: Whole(rerank.answer(body)),
            "/v1/images/generations": lambda body, _: images.generate(body),
            "/v1/audio/speech": lambda body, behaviour: audio.speak(body, behaviour.long),
            "/v1/responses": lambda body, behaviour: self._responses.create(body, behaviour.long),
            "/v1/messages": lambda body, behaviour: messages.create(body, behaviour.long),
            "/v1/messages/count_tokens": lambda body, _: messages.count_tokens(body),
            "/v1/batches": lambda body, _: self._batches.create(body),
            "/chunked/v1/chat/completions": lambda body, behaviour: chunked.create(body, behaviour.long),
            "/chunked/v1/embeddings": lambda body, _: chunked.embed(body),
            "/api/chat": lambda body, behaviour: api_chat.create(body, behaviour.long),
            "/api/embed": lambda body, _: api_chat.embed(body),
            "/v2/chat": lambda body, behaviour: chat_v2.create(body, behaviour.long),
            "/v2/embed": lambda body, _: chat_v2.embed(body),
            "/v2/rerank": lambda body, _: chat_v2.rank(body),
        }
        self._by_model: tuple[tuple[re.Pattern[str], Mapping[str, Json]], ...] = (
            (
                _NAMED,
                {
                    "converse": lambda body, behaviour: converse.create(body, behaviour.long, stream=False),
                    "converse-stream": lambda body, behaviour: converse.create(body, behaviour.long, stream=True),
                    "invoke": lambda body, _: converse.embed(body),
                },
            ),
            (
                _METHOD,
                {
                    **_contents(calls_have_ids=True),
                    "embedContent": lambda body, _: contents.embed(contents.camel(body)),
                    "batchEmbedContents": lambda body, _: contents.embed_all(contents.camel(body)),
                },
            ),
            (
                _PUBLISHED,
                {
                    **_contents(calls_have_ids=False),
                    "predict": lambda body, _: contents.predict(body),
                    "rawPredict": lambda body, behaviour: messages.create(body, behaviour.long),
                    "streamRawPredict": lambda body, behaviour: messages.create(body, behaviour.long),
                },
            ),
            (
                _DEPLOYED,
                {
                    "chat/completions": _chat,
                    "completions": _completion,
                    "embeddings": lambda body, _: Whole(embeddings.answer(body)),
                },
            ),
        )
        """Doors whose path names the model, and what is done with it."""
        self._forms: Mapping[str, Filled] = {
            "/v1/images/edits": images.edit,
            "/v1/images/variations": images.vary,
            "/v1/audio/transcriptions": audio.transcribe,
            "/v1/audio/translations": audio.translate,
            "/v1/files": self._files.upload,
        }
        self._looks: tuple[tuple[re.Pattern[str], Looked], ...] = tuple(
            (re.compile(pattern), look)
            for pattern, look in (
                (r"GET /v1/models()", lambda _id, _query: Whole(models.listing())),
                (r"GET /v1/models/(.+)", lambda id_, _: Whole(models.single(id_))),
                (r"GET /v1beta/models()", lambda _id, _query: Whole(contents.listing())),
                (r"GET /v1beta/models/([^/:]+)", lambda id_, _: Whole(contents.single(id_))),
                (r"GET /v1/files()", lambda _, query: self._files.list(query)),
                (r"GET /v1/files/([^/]+)", lambda id_, _: self._files.show(id_)),
                (r"GET /v1/files/([^/]+)/content", lambda id_, _: self._files.content(id_)),
                (r"DELETE /v1/files/([^/]+)", lambda id_, _: self._files.delete(id_)),
                (r"GET /v1/batches()", lambda _, query: self._batches.list(query)),
                (r"GET /v1/batches/([^/]+)", lambda id_, _: self._batches.show(id_)),
                (r"POST /v1/batches/([^/]+)/cancel", lambda id_, _: self._batches.cancel(id_)),
                (r"GET /v1/responses/([^/]+)", lambda id_, _: self._responses.show(id_)),
                (r"GET /v1/responses/([^/]+)/input_items", lambda id_, _: self._responses.input_items(id_)),
                (r"DELETE /v1/responses/([^/]+)", lambda id_, _: self._responses.delete(id_)),
                (r"POST /v1/responses/([^/]+)/cancel", lambda id_, _: self._responses.cancel(id_)),
            )
        )

    def asked(self, method: str, path: str, query: dict[str, str], content_type: str, upload: Upload) -> Asked:
        """Raises errors.Refused for a path there is not, and for a body that names no model where one is needed."""
        if method == "POST" and (json := self._json.get(path)):
            body = _parse(upload.whole(), model_needed=path not in ("/v1/batches", "/v1/moderations"))
            model = body.get("model") or query.get(SIMULATE) or CHAT
            behaviour = _behaviour(model)
            return Asked(model, behaviour, lambda: json({"model": model, **body}, behaviour))
        if method == "POST" and (named := self._named(path, query)) is not None:
            model, door = named
            body = {**_parse(upload.whole(), model_needed=False), "model": model}
            behaviour = _behaviour(model)
            return Asked(model, behaviour, lambda: door(body, behaviour))
        if method == "POST" and (filled := self._forms.get(path)):
            form = Form(upload.form(content_type))
            model = form.body().get("model") or query.get(SIMULATE)
            return Asked(model, _behaviour(model or CHAT), lambda: filled(form))
        for pattern, look in self._looks:
            if found := pattern.fullmatch(f"{method} {path}"):
                model = query.get(SIMULATE)
                return Asked(model, _behaviour(model or CHAT), partial(look, found[1], query))
        raise errors.no_such_url(method, path)

    def close(self) -> None:
        self._files.close()

    def _named(self, path: str, query: dict[str, str]) -> tuple[str, Json] | None:
        """The model that a path names, and its door."""
        for pattern, doors in self._by_model:
            if found := pattern.fullmatch(path):
                action = f"{found['action']}?alt=sse" if query.get("alt") == "sse" else found["action"]
                return (found["model"], doors[action]) if action in doors else None
        return None

    def _answer_line(self, path: str, body: Body) -> bytes:
        parsed = _parse(orjson.dumps(body), model_needed=path != "/v1/moderations")
        reply = self._json[path]({"model": CHAT, **parsed, "stream": False}, _behaviour(parsed.get("model") or CHAT))
        assert isinstance(reply, Whole)
        return reply.body


def _contents(*, calls_have_ids: bool) -> Mapping[str, Json]:
    def create(body: Body, behaviour: Behaviour) -> Reply:
        return contents.create(contents.camel(body), behaviour.long, calls_have_ids=calls_have_ids)

    def stream(body: Body, behaviour: Behaviour, *, as_list: bool) -> Reply:
        return contents.stream(contents.camel(body), behaviour.long, calls_have_ids=calls_have_ids, as_list=as_list)

    return {
        "generateContent": create,
        "streamGenerateContent": partial(stream, as_list=True),
        "streamGenerateContent?alt=sse": partial(stream, as_list=False),
        "countTokens": lambda body, _: contents.count(contents.camel(body)),
    }


def _chat(body: Body, behaviour: Behaviour) -> Reply:
    _check_can_chat(body)
    chat = Chat(body, behaviour.long)
    return unnamed(chat.chunks()) if body.get("stream") else Whole(chat.whole())


def _completion(body: Body, behaviour: Behaviour) -> Reply:
    _check_can_chat(body)
    completion = Completion(body, behaviour.long)
    return unnamed(completion.chunks()) if body.get("stream") else Whole(completion.whole())


def _check_can_chat(body: Body) -> None:
    if body["model"] == EMBED:
        raise errors.not_a_chat_model(body["model"])


def _behaviour(model: str) -> Behaviour:
    behaviour = behaviour_of(model)
    if behaviour is None:
        raise errors.no_model(model)
    return behaviour


def _parse(raw: bytes, *, model_needed: bool) -> Body:
    """A JSON object with a model's name; what else it must be depends on the door."""
    try:
        body: Any = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise errors.not_json() from None
    if not isinstance(body, dict):
        raise errors.not_json()
    if model_needed and not body.get("model"):
        raise errors.invalid("you must provide a model parameter")
    if not isinstance(body.get("model") or "", str):
        raise errors.wrong_type("model", "a string", body["model"])
    return body
