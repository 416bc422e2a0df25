"""What the settings of both planes share: kinds of values, and how a wrong one is told to whoever set it."""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "GATEHOUSE_"
_NOT_SET = "wanted, and not set; docs/settings.md says what it is"

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Bytes = Annotated[int, Field(gt=0)]


class PlaneSettings(BaseSettings):
    """What stands around a value is no part of it: secrets come from files that end with a line break."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _trimmed(cls, values: dict[str, object]) -> dict[str, object]:
        return {name: value.strip() if isinstance(value, str) else value for name, value in values.items()}


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


LogLevel = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)]


OptionalPort = Annotated[int, BeforeValidator(lambda value: 0 if value == "" else value), Field(ge=0, le=65535)]
"""0, or an empty text: none."""


def _host(value: str) -> str:
    if not value:  # Sockets take it for every address there is.
        raise ValueError("an address to listen on is wanted; 0.0.0.0 is every one of IPv4 that there is, :: every one")
    return value


Host = Annotated[str, AfterValidator(_host)]


def for_asyncio(host: str) -> str | None:
    """A host as asyncio's servers are to be given it: by themselves they take `::` for those of IPv6 alone."""
    return None if host == "::" else host


def _folder(value: object) -> object:
    if value == "":  # Paths take it for the folder that the process is begun in.
        raise ValueError("a folder is wanted")
    return value


Folder = Annotated[Path, BeforeValidator(_folder)]


def _origin(value: str) -> str:
    try:
        parts = urlsplit(value)
        whole = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        whole = False
    if any(character.isspace() for character in value):  # Line breaks are nothing to `urlsplit`.
        whole = False
    # A name or a password before the host would be passed on to whoever is told the address.
    if not whole or parts.path not in ("", "/") or "?" in value or "#" in value or "@" in value:
        raise ValueError("a scheme, a host and a port are wanted and nothing else, as in https://house.example:8080")
    return value.rstrip("/")


Origin = Annotated[str, AfterValidator(_origin)]
"""Where a plane is reached: `http` or `https`, host, port; without a slash at the end."""


def faults(error: ValidationError) -> list[str]:
    """A line for each variable that is missing or wrong, with its name and never its value."""
    return [
        _fault(fault["loc"], _NOT_SET if fault["type"] == "missing" else fault["msg"])
        for fault in error.errors(include_url=False, include_input=False)
    ]


def _fault(where: tuple[int | str, ...], message: str) -> str:
    said = message.removeprefix("Value error, ")
    return f"{PREFIX}{str(where[0]).upper()}: {said}" if where else said
