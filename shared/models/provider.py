"""A provider as data: where it is, which dialect it speaks, how it wants its key."""

import tomllib
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from shared import base_url
from shared.crypto.certificates import PEM_CHARS_MAX, pem_certificates
from shared.models.credential import CredentialForm
from shared.models.noun import Noun


def _whole_url(value: str) -> str:
    base_url.parse(value)
    return value.rstrip("/")


def _template_url(value: str) -> str:
    base_url.parse_template(value)
    return value.rstrip("/")


FRAMING = frozenset(
    "accept-encoding connection content-encoding content-length content-type expect host keep-alive proxy-connection "
    "te trailer transfer-encoding upgrade".split()
)
"""Headers that say where a request ends, whom it is for and what it is: a key in one of them makes another request."""


def _carries_a_key(name: str) -> str:
    if name in FRAMING:
        raise ValueError(f"`{name}` says how a request is to be read; a key stands in a header of its own")
    return name


AuthHeader = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,64}$"), AfterValidator(_carries_a_key)]
"""Name of the header that carries a provider's key."""
BaseUrl = Annotated[str, AfterValidator(_whole_url)]
"""Scheme, host and path prefix, as gateways call it; door paths such as `/chat/completions` are put behind it."""
TemplateUrl = Annotated[str, AfterValidator(_template_url)]
"""A base URL in which `{field}` stands for that word of the credential."""
Dialect = Literal["openai", "anthropic", "bedrock", "gemini", "azure", "vertex", "cohere", "mistral", "ollama"]
"""Which adapter translates."""
HeaderName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,64}$"), AfterValidator(_carries_a_key)]
HeaderText = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]([\x20-\x7e]{0,510}[\x21-\x7e])?$")]
Door = Literal["chat", "completions", "embeddings", "messages", "responses"]
"""What a host speaks itself. Where it lacks `messages` or `responses`, gateways translate them to its `chat`."""
LimitName = Literal["max_tokens", "max_completion_tokens"]
ParameterName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
"""A field of a request's body."""


def _certificates(value: object) -> str | None:
    return None if value in (None, "") else pem_certificates(value)


CaCertificates = Annotated[Annotated[str, Field(max_length=PEM_CHARS_MAX)] | None, BeforeValidator(_certificates)]
"""PEM, one or more."""


class Provider(Noun):
    name: str
    dialect: Dialect = "openai"
    base_url: str
    """A `TemplateUrl`; a row that was saved with another can still be read and mended, and gateways refuse it."""
    credential: CredentialForm = "api_key"
    """What its credentials consist of."""
    headers: Mapping[HeaderName, HeaderText] = {}
    """Sent with each request, unless the caller's own header of that name goes on."""
    auth_header: AuthHeader = "authorization"
    auth_prefix: str = Field(default="Bearer ", max_length=32, pattern=r"^[\x20-\x7e]*$")
    stream_usage: bool = True
    """Whether `stream_options.include_usage` is understood."""
    limit_name: LimitName = "max_tokens"
    """What the host calls the most tokens that a chat's answer may have."""
    cache_hints: bool = False
    """Whether parts of a chat may carry `cache_control`, which tells the host what to keep in its cache."""
    developer_role: bool = True
    """Whether a chat's messages may be a developer's; else they go out as the system's."""
    renamed: Mapping[ParameterName, ParameterName] = {}
    """Parameters that the host calls otherwise, by the names that callers know them by."""
    refused: tuple[ParameterName, ...] = ()
    """Parameters that the host would drop in silence and that change answers: a call that gives one is refused."""
    ignored: tuple[ParameterName, ...] = ()
    """Parameters that the host ignores and that change no answer: they stay out, and the caller is told."""
    ignored_in_messages: tuple[ParameterName, ...] = ()
    """The same for fields of a chat's messages and of the calls in them, at hosts that refuse what they do not know."""
    ca_certificates: CaCertificates = None
    """Authorities to trust for its host, besides the usual ones."""
    doors: tuple[Door, ...] = ("chat", "completions", "embeddings")
    models: tuple[str, ...] = ()
    """The models it is listed with, beside those of the catalogue. Others may be called all the same."""


def parse_table(text: str) -> dict[str, Provider]:
    """Rows by id of a table such as `shared/data/providers.toml`. Raises ValueError for a faulty one."""
    return {id_: Provider(id=id_, **row) for id_, row in tomllib.loads(text).items()}
