"""A provider as data: where it is, which dialect it speaks, how it wants its key."""

from typing import Literal

from pydantic import Field, HttpUrl, TypeAdapter, field_validator

from shared.models.noun import Noun

_URL = TypeAdapter(HttpUrl)


class Provider(Noun):
    name: str
    dialect: Literal["openai"] = "openai"
    """Which adapter translates for it."""
    base_url: str
    """Scheme, host and path prefix; door paths such as `/chat/completions` are put behind it."""
    auth_header: str = Field(default="authorization", pattern=r"^[a-z0-9-]{1,64}$")
    auth_prefix: str = Field(default="Bearer ", max_length=32, pattern=r"^[\x20-\x7e]*$")
    stream_usage: bool = True
    """Whether `stream_options.include_usage` is understood."""
    doors: tuple[Literal["chat", "completions", "embeddings"], ...] = ("chat", "completions", "embeddings")

    @field_validator("base_url")
    @classmethod
    def _whole_url(cls, value: str) -> str:
        url = _URL.validate_python(value)
        if url.username or url.password or url.query or url.fragment:
            raise ValueError("a base URL has a scheme, a host and a path, nothing else")
        return value.rstrip("/")
