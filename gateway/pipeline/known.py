"""What earlier requests with the very same head came to: found once, and kept while their connection sends no other."""

from collections.abc import Callable

import msgspec

from gateway.pipeline.metadata import Labels
from gateway.pipeline.resolved import Resolved
from gateway.view.route import Target
from gateway.view.view import Caller
from shared.crypto.api_keys import KeyedHash


def _nobody() -> None:
    return None


class Known(msgspec.Struct):
    """Each part holds only for what stands beside it; whoever uses it asks whether that is still so."""

    hashed_by: KeyedHash | None = None
    api_key_hash: bytes = b""
    """The caller's key under `hashed_by`."""
    forwarded: bytes | None = None
    """The lines of it that go to the provider."""
    labels: Labels | None = None
    caller: Callable[[], Caller | None] = _nobody
    """A weak reference: a connection that idles keeps no former configuration in memory."""
    model: str | None = None
    resolved: Resolved | None = None
    """What the head leads to, for that caller and that model."""
    target: Target | None = None
    """The one target that this is, as soon as it may be used."""
    plain: Target | None = None
    """The same, if nothing of a call is changed, watched or measured on its way there."""
    effective_model: str = ""
    """The model that goes to `plain`."""
