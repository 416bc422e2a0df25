"""What a provider's room offers: pure translation between our dialect and the provider's. No I/O, no await."""

from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from msgspec.structs import force_setattr

from gateway.upstream.messages import Deadlines, Origin, RequestHead, UpstreamRequest, parse_origin
from gateway.upstream.tls import Trust, trust
from shared.base_url import TEMPLATE_FIELD
from shared.crypto.secret import Secret
from shared.models.credential import (
    AddressedKeyForm,
    ApiKeyForm,
    AwsForm,
    CredentialForm,
    EntraForm,
    Form,
    OptionalApiKeyForm,
)

if TYPE_CHECKING:
    from gateway.providers.form import FormStart

USER_AGENT = b"user-agent: gatehouse\r\n"
"""The line that says who calls; a config can have the caller's own go on in its place."""


EVENT_STREAM = "text/event-stream"
_PLAIN = b"content-type: application/json\r\naccept: application/json\r\n" + USER_AGENT
_STREAM = b"content-type: application/json\r\naccept: text/event-stream\r\n" + USER_AGENT


class TokenForm(Form):
    """What some credentials are exchanged for: words for the address, and a token that says who calls."""

    token: Secret


ProviderKey = Secret | Form
"""A provider's credential, opened: what goes into one header, or the fields of any other form."""


class Door(StrEnum):
    """What a path speaks, or where it passes through to; the word in records (`shared/paths.py`)."""

    CHAT = "chat"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    MESSAGES = "messages"
    COUNT_TOKENS = "count_tokens"
    RESPONSES = "responses"
    IMAGES = "images"
    AUDIO = "audio"
    MODERATIONS = "moderations"
    RERANK = "rerank"
    FILES = "files"
    BATCHES = "batches"
    PROXY = "proxy"


class Passage(msgspec.Struct, frozen=True):
    """A request that goes to a provider as it came, on a path that the gateway does not read."""

    door: Door
    method: str
    path: str
    """Below `/v1/`, as it came."""
    query: str = ""
    """With its `?`."""

    @property
    def runs_model(self) -> bool:
        """Whether it may set a model to work. What cannot costs nothing, and no rule about models forbids it."""
        return (
            self.method not in ("GET", "DELETE") and self.door is not Door.FILES and not self.path.endswith("/cancel")
        )


class Call(msgspec.Struct):  # Made for each call: a class of Python's own takes several times as long to make.
    """What the caller asks for, parsed once."""

    door: Door
    raw: bytes
    parsed: Mapping[str, Any] | None
    """Its body. None: nobody has needed it whole."""
    stream: bool
    forwarded: bytes = b""
    """Allowed request headers, as a ready block."""
    dialect: "Dialect | None" = None
    """What its door speaks, if that is neither chat nor one of its siblings in OpenAI's own shapes."""
    id: str = ""
    """The request's own: for answers that their provider gives none."""
    created_s: int = 0
    """When it came, in Unix time: for answers whose provider says no time."""
    passage: Passage | None = None
    is_object: bool = True
    """Its body is a JSON object, which can be changed on its way."""
    form: "FormStart | None" = None
    """How its body begins, if that is a form which passes through while it comes. `body` then has its first fields."""
    asked_tokens: int | None = None
    """Estimated of its texts, where these were let go; `body` is then without them, and `raw` empty."""
    few: "Few | None" = None
    """What was read of a body that is not parsed. None: it is."""

    @property
    def body(self) -> Mapping[str, Any]:
        """It belongs to every target: nobody changes it."""
        parsed = self.parsed
        if parsed is None:
            assert self.few is not None, "what is not parsed was read in part"
            parsed = self.parsed = self.few.whole(self.raw)
        return parsed

    @property
    def model(self) -> Any:
        """The model that the body names, of whatever type; None: none."""
        return self.body.get("model") if self.few is None else self.few.model


class Few(Protocol):
    """The fields of a body that a call needs which is passed on as it came."""

    model: Any
    stream_options: Any
    user: Any

    def whole(self, raw: bytes) -> Mapping[str, Any]:
        """Raises GatewayError."""
        ...


class Quirks(msgspec.Struct, frozen=True):
    """Where a host of a dialect is unlike the one that the dialect was made for (`shared/models/provider.py`)."""

    developer_role: bool = True
    renamed: tuple[tuple[str, str], ...] = ()
    refused: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    ignored_in_messages: tuple[str, ...] = ()


NO_QUIRKS = Quirks()


class Place(msgspec.Struct, frozen=True):
    """Where a provider is and how it wants its key: the provider row, compiled."""

    provider: str
    origin: Origin
    prefix: str
    auth_header: bytes
    auth_prefix: bytes
    stream_usage: bool
    doors: frozenset[str]
    limit_name: str = "max_tokens"
    """What the host calls the most tokens that a chat's answer may have."""
    cache_hints: bool = False
    """Whether parts of a chat may carry advice on what the host should keep in its cache."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Name, and whole line, of what is sent with each request unless the caller's own goes on."""
    quirks: Quirks | None = None
    template: str = ""
    """A base URL with places for words of the credential; `origin` and `prefix` are then no address yet."""
    trust: Trust | None = None
    """What its row says of certificates."""
    plain_words: "PlaceWords | None" = None
    """Made of these: what it puts into a request's head, if that is all that it says; None: there is more to ask it."""
    unspoken: "tuple[PlaceWords, tuple[bytes, ...]] | None" = None
    """Made of these too: the same words, if there is nothing to ask it but of messages that hold one of these names."""

    def __post_init__(self) -> None:
        words = (self.prefix, self.auth_header, self.auth_prefix, self.headers)
        quirks = self.quirks
        force_setattr(self, "plain_words", None if self.template or quirks is not None else words)
        names = () if quirks is None else quirks.ignored_in_messages
        unspoken = words, tuple([b'"%b"' % name.encode() for name in names])
        is_all = not self.template and quirks is not None and quirks == Quirks(ignored_in_messages=names)
        force_setattr(self, "unspoken", unspoken if is_all else None)


class Usage(msgspec.Struct):
    """Tokens as the provider counted them; None is unknown, never 0. Of one with neither nothing is known.

    Input includes cached and audio ones, output includes reasoning and audio ones, whatever the provider's own way is.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    estimated: bool = False
    """From bytes seen: the provider did not say (`estimate.py`)."""
    batch: bool = False
    unpriced: bool = False
    """Tokens of a kind that no price list tells apart, a picture's, are among them: counted, not charged."""
    tiered: bool = False
    """It is unpriced for this alone: its provider says that it was carried in a tier with prices of its own, or that
    pictures were made, and no price list tells of either. Amounts that the organisation wrote down itself hold for it.
    """


class Translated(msgspec.Struct):
    """A request in the provider's dialect."""

    target: str
    """Path and query."""
    headers: bytes
    body: bytes
    origin: Origin | None = None
    """Where it goes, if the credential has a say in that; None: to the place's own."""
    signer: "Signer | None" = None
    answer: bytes | None = None
    """The answer itself, where nobody has to be asked for it."""
    method: str = "POST"
    skip: int = 0
    """Of an upload, so many bytes stand in `body` already, changed."""
    left_out: frozenset[str] = frozenset()
    """Advice in the request that this provider cannot be given. It changes no answer; the caller is told."""


class Signer(Protocol):
    """Says who calls in words of which each request has its own."""

    def sign(self, method: str, origin: Origin, target: str, headers: bytes, body: bytes) -> bytes:
        """The header lines to put behind `headers`. They tell the time, so they are for a request that goes now."""
        ...


class Grant(msgspec.Struct, frozen=True):
    """What a credential was exchanged for."""

    key: ProviderKey
    expires_at_ms: int


class GrantRefused(Exception):
    """The credential was not taken. The message goes to the caller: why, and no secret."""


class Exchange(Protocol):
    """How a stored credential becomes the short-lived one that calls carry (pure)."""

    @property
    def name(self) -> str:
        """The same for the same credential, and for no other: a digest."""
        ...

    @property
    def mask(self) -> ProviderKey:
        """What it will become, with masks for secrets: to be shown, never sent."""
        ...

    def request(self, now_ms: int) -> Translated:
        """A POST whose `origin` says where it goes."""
        ...

    def grant(self, status: int, body: bytes, now_ms: int) -> Grant:
        """What the answer grants. Raises GrantRefused."""
        ...


class Untranslatable(ValueError):
    """A request that cannot be said in the provider's dialect. Holds no content."""

    def __init__(self, message: str, pointer: str = "", *, unsupported: bool = False) -> None:
        super().__init__(message)
        self.pointer = pointer
        """Where in the body."""
        self.unsupported = unsupported
        """It is right in its own dialect."""


class BrokenAnswer(ValueError):
    """A 2xx answer that is not what the dialect says. Holds no content."""


class StreamFailure(msgspec.Struct, frozen=True):
    """A provider's error event as the answer it would have been, had it come before the stream began; or an error that
    came as an answer of 200, likewise.
    """

    status: int
    body: bytes
    """JSON, in the provider's dialect."""


class FailedAnswer(Exception):
    """A 2xx answer that holds a provider's error in an answer's place. The message holds no content."""

    def __init__(self, failure: StreamFailure, usage: Usage | None) -> None:
        super().__init__(f"an error of status {failure.status} came as an answer")
        self.failure = failure
        self.usage = usage
        """As the provider counted it, if it did."""


class StreamReader(Protocol):
    """One stream's translation, fed with bytes as they come."""

    @property
    def usage(self) -> Usage:
        """Of the stream so far: as the provider counted it, else estimated from what passed (`estimate.py`)."""
        ...

    @property
    def begun(self) -> bool:
        """Something of the answer itself has come: text, a tool call, an end. Until then it can still be taken back."""
        ...

    @property
    def failed(self) -> bool:
        """The provider itself ended the stream with an error event, which is among the events returned."""
        ...

    @property
    def failure(self) -> "StreamFailure | None":
        """What a provider's error event says; None while none came."""
        ...

    @property
    def complete(self) -> bool:
        """The stream's last word has been read; what follows does not matter."""
        ...

    def sees_again(self, data: bytes) -> bool:
        """Whether this is whole events like those before, with nothing else of note in them. Then it has been seen with
        that, and goes on as it came; else `feed` is to see it.
        """
        ...

    def feed(self, data: bytes) -> bytes:
        """Whole events in our dialect, ready to send; `b""` while an event is incomplete. Raises BrokenAnswer."""
        ...

    def end(self) -> bytes:
        """What is still to be sent now that the body has properly ended. Raises BrokenAnswer if more had to come."""
        ...

    def error_event(self, body: Mapping[str, Any], status: int) -> bytes:
        """An error body as the event that ends a stream which cannot go on."""
        ...


class ReadsEach:
    """What a StreamReader has of this one that looks at each event."""

    __slots__ = ()

    def sees_again(self, data: bytes) -> bool:  # noqa: ARG002 - none is like another to it
        return False


class Provider(Protocol):
    """An adapter: one for each dialect. What most of them have in common stands here, for those that derive from it."""

    stream_type: str = EVENT_STREAM
    """What the content type of its streams begins with; a 2xx of another type is a whole answer."""
    passes: bool = True
    """Whether requests that it does not translate can go to its provider as they came."""
    sees_results: bool = True
    """Whether what a tool gives may be more than text: a picture, a file."""
    reads_lists: bool = True
    """Whether everybody who speaks its dialect reads a content that is a list of texts."""

    def prepare(self, form: CredentialForm) -> None:  # noqa: ARG002 - most have all they need
        """Load what only calls with such a credential need. May take a second: before any of them, beside others."""
        return

    def exchange(self, key: ProviderKey) -> Exchange | None:  # noqa: ARG002 - most keys are sent as they are
        """How a credential is made one that calls can carry; None: it is one."""
        return None

    def request(
        self, call: Call, place: Place, key: ProviderKey | None, overrides: Mapping[str, Any], model: str
    ) -> Translated:
        """Raises Untranslatable."""
        ...

    def plain_request(
        self, call: Call, place: Place, key: ProviderKey | None, model: str, deadlines: Deadlines, heads: "Heads"
    ) -> UpstreamRequest | None:
        """The shortest way to what `request` comes to, for a call that nothing but the adapter has a word in.

        `heads`: those of `key`, and of no other. None: ask `request`. Raises Untranslatable.
        """
        del call, place, key, model, deadlines, heads  # Most have no shorter way.
        return None

    def answer(self, call: Call, body: bytes) -> tuple[bytes, Usage]:
        """A whole 2xx body in our dialect, and what it used: as the provider counted it, else estimated from it.

        Raises BrokenAnswer, FailedAnswer.
        """
        ...

    def stream(self, call: Call) -> StreamReader: ...

    def error(self, provider: str, status: int, headers: Mapping[str, str], body: bytes) -> bytes:
        """A provider's error in our shape (reference/portkey.md 2.6). `headers`: the answer's, names in lower case."""
        ...

    def retry_after_s(self, body: bytes) -> float | None:  # noqa: ARG002 - most say it in the answer's head
        """When an error's body says to ask again, in seconds; None: it does not say."""
        return None


class Dialect(Protocol):
    """What a door speaks that is no chat (`gateway/dialects/`)."""

    def between(self, provider: Provider, place: Place) -> Provider:
        """What speaks with a provider for one call of the door: its answers and errors are the dialect's."""
        ...

    def speaks(self, place: Place) -> bool:
        """Whether a provider can be spoken with at all."""
        ...

    def error(self, body: Mapping[str, Any], status: int) -> dict[str, Any]:
        """An error body that is in a chat's shape."""
        ...

    def user(self, body: Mapping[str, Any]) -> Any:
        """The end user whom a request names, if it does."""
        ...


HEADS_MAX = 16
"""For one key: so many are kept, and so many that came once are known again."""
HEAD_LINES_BYTES_MAX = 1024
"""With longer lines of the caller's own, none is kept."""

PlaceWords = tuple[str, bytes, bytes, tuple[tuple[bytes, bytes], ...]]
"""Prefix, both parts of the line for the key, own lines."""
HeadWords = tuple[Door, bool, bytes, PlaceWords]
"""All that a plain head is made of but the key: door, stream or not, the caller's lines, the place's words. Whatever
`request_headers` reads of a call or a place has to be among it."""


class Heads:
    """Heads made for one key and checked, to be sent again. The key stands in them: they are kept where it is kept,
    and go when it goes.

    Callers have lines of their own in them, and some have others with each call. So a head is kept when it comes a
    second time, and what came once is forgotten without a kept one being lost for it.
    """

    __slots__ = ("_once", "kept")

    def __init__(self) -> None:
        self.kept: dict[HeadWords, RequestHead] = {}
        self._once: dict[HeadWords, None] = {}

    def made(self, words: HeadWords, head: RequestHead) -> None:
        """Keep it, if it will be wanted again."""
        if words in self._once:
            del self._once[words]
            if len(self.kept) >= HEADS_MAX:
                self.kept.clear()
            self.kept[words] = head
        elif len(words[2]) <= HEAD_LINES_BYTES_MAX:
            if len(self._once) >= HEADS_MAX:
                self._once.clear()
            self._once[words] = None


MASK = Secret("****")


def key_of(form: Form) -> ProviderKey | None:
    """A credential as adapters take it: of a form that is one key and nothing else, that key."""
    return form.api_key if isinstance(form, ApiKeyForm | OptionalApiKeyForm) else form


def masked(key: ProviderKey | None) -> ProviderKey | None:
    """A key of the same shape without a secret in it."""
    if isinstance(key, Form):
        return key.model_copy(update={name: MASK for name, value in key if isinstance(value, Secret)})
    return None if key is None else MASK


def trust_of(form: Form, place: Place) -> Trust | None:
    """What connections need that are made for a credential: its own certificates, and those of the provider's row."""
    of_row = b"" if place.trust is None else place.trust.ca
    own = b"" if form.ca_certificates is None else form.ca_certificates.reveal()
    return trust(of_row + own, form.client_certificate)


def request_headers(call: Call, place: Place, key: ProviderKey | None) -> bytes:
    """What is said to a provider of a call, its key among it; None: it wants none, or each request is signed.

    Raises Untranslatable for a credential that no header can say.
    """
    headers = (USER_AGENT if call.passage is not None else _STREAM if call.stream else _PLAIN) + call.forwarded
    for name, line in place.headers:
        if not _has(headers, name):
            headers += line
    if key is None:
        return headers
    if isinstance(key, TokenForm):
        return b"%bauthorization: Bearer %b\r\n" % (headers, key.token.reveal())
    secret = key if isinstance(key, Secret) else _key_in(key)
    if secret is None:  # Nobody is called without the credential that was named for it.
        raise Untranslatable(
            f"{place.provider} cannot be called here with its credential, which is more than one header",
            unsupported=True,
        )
    return b"%b%b: %b%b\r\n" % (headers, place.auth_header, place.auth_prefix, secret.reveal())


def _key_in(form: Form) -> Secret | None:
    """The one key of a form that has one among other fields."""
    return form.api_key if isinstance(form, AddressedKeyForm | AwsForm | EntraForm) else None


def _has(headers: bytes, name: bytes) -> bool:
    return b"\r\n%b:" % name in headers


def address(place: Place, key: ProviderKey | None) -> tuple[Origin | None, str]:
    """Origin (None: the place's own) and path prefix for a credential. Raises Untranslatable."""
    if not place.template:
        return None, place.prefix
    return _filled(place.template, tuple(key.words().items()) if isinstance(key, Form) else ())


@lru_cache(maxsize=4_096)
def _filled(template: str, words: tuple[tuple[str, str], ...]) -> tuple[Origin, str]:
    found = dict(words)
    missing = [name for name in TEMPLATE_FIELD.findall(template) if name not in found]
    if missing:
        raise Untranslatable(
            f"the provider's address needs `{missing[0]}`, which its credential does not say; "
            "use a virtual key that does, or one with a base URL of its own"
        )
    try:
        return parse_origin(TEMPLATE_FIELD.sub(lambda field: found[field[1]], template))
    except ValueError as error:
        raise Untranslatable(f"the provider's address cannot be called: {error}") from None
