"""Between a door's dialect and a target: passed on where the target speaks it, else translated to chat and back (pure).

One of these is made for each attempt: what was asked is needed again when the answer comes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from msgspec.structs import replace

from gateway.dialects.base import Translation
from gateway.dialects.chat import in_own_names, in_strings, shown_by_user, with_short_names
from gateway.dialects.native_stream import NativeStream, failure_in, used
from gateway.dialects.translated_stream import InOwnNames, TranslatedStream
from gateway.providers.base import (
    BrokenAnswer,
    Call,
    Door,
    FailedAnswer,
    Place,
    Provider,
    ProviderKey,
    StreamReader,
    Translated,
    Untranslatable,
    Usage,
    address,
    request_headers,
)
from gateway.providers.body import dumped, parsed_answer
from gateway.providers.estimate import input_tokens
from gateway.providers.fields import Path
from gateway.providers.signatures import IN_JSON
from shared.models.config import pointer

_NOTHING: frozenset[str] = frozenset()
_SIGNATURE = frozenset({"signature"})


class Spoken:
    """A dialect of a door (`providers/base.py`)."""

    def __init__(self, dialect: Translation) -> None:
        self._dialect = dialect

    def between(self, provider: Provider, place: Place) -> Provider:
        return Native(self._dialect, provider) if self._dialect.door in place.doors else InChat(self._dialect, provider)

    def speaks(self, place: Place) -> bool:
        return self._dialect.door in place.doors or Door.CHAT in place.doors

    def error(self, body: Mapping[str, Any], status: int) -> dict[str, Any]:
        return self._dialect.error(body, status)

    def user(self, body: Mapping[str, Any]) -> Any:
        return self._dialect.user(body)


class InChat(Provider):
    """For a provider that does not speak the dialect."""

    def __init__(self, dialect: Translation, provider: Provider) -> None:
        self._dialect = dialect
        self._provider = provider
        self._chat: Call | None = None
        self._names: Mapping[str, str] = {}
        """Of tools that have others in the chat: by these the caller's own."""
        self.stream_type = provider.stream_type

    def request(
        self, call: Call, place: Place, key: ProviderKey | None, overrides: Mapping[str, Any], model: str
    ) -> Translated:
        fields = self._dialect.fields
        asked = {**call.body, **{name: value for name, value in overrides.items() if name in fields}, "model": model}
        chat = self._dialect.to_chat(asked, place)
        if not self._provider.sees_results:
            chat = shown_by_user(chat)
        if not self._provider.reads_lists:
            chat = in_strings(chat)
        chat, self._names = with_short_names(chat)
        # Without `raw`: it is written anew, with the model at the least.
        self._chat = replace(call, door=Door.CHAT, raw=b"", parsed=chat.body, few=None)
        own = self._dialect.own_answer(self._chat)
        if own is not None:
            return Translated(target="", headers=b"", body=b"", answer=orjson.dumps(own))
        rest = {name: value for name, value in overrides.items() if name not in fields}
        try:
            translated = self._provider.request(self._chat, place, key, {**rest, "model": model}, model)
        except Untranslatable as refusal:
            raise self._in_its_words(refusal, asked, chat.sources) from None
        told = frozenset(self._place(name, asked).rpartition("/")[2] for name in translated.left_out)
        return replace(translated, left_out=told | chat.left_out)

    def answer(self, call: Call, body: bytes) -> tuple[bytes, Usage]:
        chat, usage = self._provider.answer(self._asked(), body)
        try:
            said = orjson.loads(chat)
            said = in_own_names(said, self._names) if self._names else said
            return orjson.dumps(self._dialect.answer(said, usage, call.body)), usage
        except orjson.JSONDecodeError:  # Where a chat's bytes pass, a number that no reader holds does too.
            raise BrokenAnswer("the answer is not JSON") from None
        except orjson.JSONEncodeError:  # orjson reads deeper than it writes.
            raise BrokenAnswer("the answer is nested too deep to be translated") from None

    def stream(self, call: Call) -> StreamReader:
        chat = self._asked()
        events = self._dialect.events(call.body, lambda: input_tokens(chat))
        return TranslatedStream(self._provider.stream(chat), InOwnNames(events, self._names) if self._names else events)

    def error(self, provider: str, status: int, headers: Mapping[str, str], body: bytes) -> bytes:
        return _shaped(self._dialect, self._provider.error(provider, status, headers, body), status)

    def _in_its_words(
        self, refusal: Untranslatable, asked: Mapping[str, Any], sources: Sequence[Path]
    ) -> Untranslatable:
        """What the adapter refuses by its place in the chat, by the place where the caller said it.

        Of a message, that is known of the whole: its parts are not always those that were sent.
        """
        name, *inner = refusal.pointer.removeprefix("/").split("/")
        if name == "messages" and inner and inner[0].isdecimal() and int(inner[0]) < len(sources):
            place = pointer(sources[int(inner[0])])
            told = f"`{place}`" if len(inner) == 1 else f"something in `{place}`"
        elif name in self._dialect.names:
            place = self._place(name, asked)
            told = f"`{place}`"
        else:
            return refusal
        message = str(refusal).replace(f"`{refusal.pointer}`", told)
        return Untranslatable(message, place, unsupported=refusal.unsupported)

    def _place(self, name: str, asked: Mapping[str, Any]) -> str:
        places = self._dialect.names.get(name, (f"/{name}",))
        return next((place for place in places if place.split("/")[1] in asked), places[-1])

    def _asked(self) -> Call:
        assert self._chat is not None, "an answer comes after its request"
        return self._chat


class Native(Provider):
    """For a provider that speaks the dialect itself."""

    def __init__(self, dialect: Translation, provider: Provider) -> None:
        self._dialect = dialect
        self._provider = provider

    def request(
        self, call: Call, place: Place, key: ProviderKey | None, overrides: Mapping[str, Any], model: str
    ) -> Translated:
        changes = dict(overrides)
        if call.body.get("model") != model:
            changes["model"] = model
        own = self._dialect.without_marked(call.body) if IN_JSON in call.raw else {}
        changes = {**own, **changes}
        origin, prefix = address(place, key)
        return Translated(
            target=prefix + self._dialect.path,
            origin=origin,
            headers=request_headers(call, place, key),
            body=dumped({**call.body, **changes}) if changes else call.raw,
            left_out=_SIGNATURE | (own.keys() & {"thinking"}) if own else _NOTHING,
        )

    def answer(self, call: Call, body: bytes) -> tuple[bytes, Usage]:
        parsed = parsed_answer(body)
        watch = self._dialect.watch()
        watch.see_whole(parsed)
        if (failure := failure_in(parsed)) is not None:
            raise FailedAnswer(failure, watch.usage)
        return body, used(watch, call)

    def stream(self, call: Call) -> StreamReader:
        return NativeStream(call, self._dialect.watch(), self._dialect.events(call.body, lambda: 0))

    def error(self, provider: str, status: int, headers: Mapping[str, str], body: bytes) -> bytes:
        return _shaped(self._dialect, self._provider.error(provider, status, headers, body), status)


def _shaped(dialect: Translation, error: bytes, status: int) -> bytes:
    return orjson.dumps(dialect.error(orjson.loads(error), status))
