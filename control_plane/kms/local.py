"""The `local` KMS: versioned master keys in one private file. For the control plane's own rows at rest, and for tests.

Versions can be disabled and destroyed, as with a service; what was wrapped under one then no longer unwraps.
"""

import asyncio
from pathlib import Path
from typing import Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from control_plane.snapshots import files
from shared.crypto.kms import Context, KmsDenied, KmsUnreachable, Wrapped
from shared.crypto.secret import Secret
from shared.protocol import canonical, envelope
from shared.protocol.envelope import EnvelopeError, Subject, Suite
from shared.protocol.wire import from_base64, to_base64

_ID = "local"


class _Version(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    number: int = Field(ge=1)
    state: Literal["enabled", "disabled", "destroyed"] = "enabled"
    key: str = Field(default="", repr=False)


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    versions: tuple[_Version, ...] = Field(min_length=1)


class LocalKms:
    """Reads the file at each call, so that a change made by another process counts at once; calls are few."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def wrap(self, key: Secret, context: Context) -> Wrapped:
        return await asyncio.to_thread(self._wrap, key, context)

    async def unwrap(self, wrapped: Wrapped, context: Context) -> Secret:
        return await asyncio.to_thread(self._unwrap, wrapped, context)

    def rotate(self) -> int:
        """A new version, which wraps from now on; its number."""
        with files.one_at_a_time(self._path):
            versions = self._read().versions
            fresh = _new_version(versions[-1].number + 1)
            self._write(_File(versions=(*versions, fresh)))
        return fresh.number

    def set_state(self, number: int, state: Literal["enabled", "disabled", "destroyed"]) -> None:
        """A destroyed version's key is gone for good. Raises KmsDenied for one that never was or is destroyed."""
        with files.one_at_a_time(self._path):
            versions = self._read().versions
            before = _find(versions, number)
            key = "" if state == "destroyed" else before.key
            after = before.model_copy(update={"state": state, "key": key})
            self._write(_File(versions=tuple(after if v.number == number else v for v in versions)))

    def _wrap(self, key: Secret, context: Context) -> Wrapped:
        version = self._read(make=True).versions[-1]
        _require_enabled(version)
        sealed = envelope.seal(_key(version), _subject(context, version.number), key.reveal(), Suite.PLAIN)
        return Wrapped(f"{_ID}:{version.number}", sealed)

    def _unwrap(self, wrapped: Wrapped, context: Context) -> Secret:
        name, _, number = wrapped.key_id.partition(":")
        if name != _ID or not number.isdecimal():
            raise KmsDenied(f"wrapped by {name!r}, not by the local KMS")
        version = _find(self._read().versions, int(number))
        _require_enabled(version)
        try:
            return Secret(envelope.open_(_key(version), _subject(context, version.number), wrapped.blob))
        except EnvelopeError as error:
            raise KmsDenied(f"{self._path} does not unwrap it ({error.code}); is it another file?") from None

    def _read(self, *, make: bool = False) -> _File:
        try:
            # Only for what is wrapped first: a fresh file beside what another wrapped would soon be taken for that one,
            # and a backup of it for a backup.
            data = files.read_or_make(self._path, _first_file) if make else self._path.read_bytes()
            return _File.model_validate(orjson.loads(data))
        except FileNotFoundError:
            raise KmsUnreachable(
                f"{self._path} is not there, and nothing else opens what it sealed; put it back"
            ) from None
        except OSError as error:
            raise KmsUnreachable(f"{self._path}: {error.strerror}") from None
        except (orjson.JSONDecodeError, ValidationError):
            raise KmsUnreachable(f"{self._path} is not a key file of the local KMS; it may be damaged") from None

    def _write(self, file: _File) -> None:
        files.write_whole(self._path, _encode(file), files.PRIVATE)


def _encode(file: _File) -> bytes:
    return orjson.dumps(file.model_dump(mode="json"))


def _first_file() -> bytes:
    return _encode(_File(versions=(_new_version(1),)))


def _new_version(number: int) -> _Version:
    return _Version(number=number, key=to_base64(envelope.new_key().reveal()))


def _find(versions: tuple[_Version, ...], number: int) -> _Version:
    for version in versions:
        if version.number == number and version.state != "destroyed":
            return version
    raise KmsDenied(f"version {number} is not there, or destroyed")


def _require_enabled(version: _Version) -> None:
    if version.state != "enabled":
        raise KmsDenied(f"version {version.number} is {version.state}")


def _key(version: _Version) -> Secret:
    return Secret(from_base64(version.key))


def _subject(context: Context, number: int) -> Subject:
    """The context as additional data: another context, another subject, and nothing opens."""
    id_ = canonical.encode(dict(context)).decode()
    return Subject("", "kms", "data_key", id_, revision=0, schema_version=1, key_epoch=number)
