"""What the node learnt when it was enrolled: whose it is, whom it believes, and where to ask (GHS/1 11.7)."""

from pathlib import Path

import msgspec
import orjson
from pydantic import ValidationError

from gateway.sync import private_files
from shared.protocol.wire import Name, WirePart

FILE = "identity.json"


class IdentityError(Exception):
    """The file is there and is not what this program wrote. Replacing it is for a person to decide."""


class Identity(msgspec.Struct, frozen=True):
    gateway: str
    organisation: str
    pinned: str
    """Fingerprint of the control plane's signing key."""
    endpoints: tuple[str, ...]
    """The control plane's URLs: scheme, host and port."""


class _File(WirePart):
    gateway: Name
    organisation: Name
    pinned: Name
    endpoints: list[Name]


def load(state_dir: Path) -> Identity | None:
    """None: not enrolled yet. Raises IdentityError."""
    path = state_dir / FILE
    try:
        file = _File.model_validate(orjson.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (orjson.JSONDecodeError, ValidationError):
        raise IdentityError(f"{path} is damaged; restore it, or remove it and enrol the node anew") from None
    return Identity(file.gateway, file.organisation, file.pinned, tuple(file.endpoints))


def save(state_dir: Path, identity: Identity) -> None:
    """Whole or not at all, also if the power goes. Raises OSError."""
    file = _File(
        gateway=identity.gateway,
        organisation=identity.organisation,
        pinned=identity.pinned,
        endpoints=list(identity.endpoints),
    )
    private_files.write(state_dir / FILE, orjson.dumps(file.model_dump(mode="json")))
