"""What a call may come to, as it was found."""

from enum import StrEnum

import msgspec

from gateway.view.route import Route
from gateway.view.view import ConfigEntry
from shared.models.config import ConfigBody


class Way(StrEnum):
    """How the target was named; the word in the record."""

    CONFIG = "config"
    INLINE_CONFIG = "inline_config"
    VIRTUAL_KEY = "virtual_key"
    PROVIDER = "provider"
    MODEL = "model"
    ALIAS = "alias"
    LISTING = "listing"
    DEFAULT_CONFIG = "default_config"


class Resolved(msgspec.Struct):
    route: Route
    way: Way
    config: ConfigEntry | None
    """The saved config that applied, whether it named the target or joined it."""
    chosen: bool = False
    """The caller chose the config that named the route, so the models in it are the caller's choice too."""
    joined: ConfigBody | None = None
    """The config that the caller chose and that joined the route: likewise."""
