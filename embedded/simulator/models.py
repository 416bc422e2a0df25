"""The simulator's models: two that are listed, and the names that ask for misbehaviour."""

from typing import Any

import orjson

from embedded.simulator import errors
from embedded.simulator.misbehaviour import CHAT, EMBED, behaviour_of
from embedded.simulator.wire import CREATED

LISTED = (CHAT, EMBED)


def listing() -> bytes:
    return orjson.dumps({"object": "list", "data": [_row(model) for model in LISTED]})


def single(model: str) -> bytes:
    """Raises errors.Refused for a name that is no model."""
    if behaviour_of(model) is None:
        raise errors.no_model(model)
    return orjson.dumps(_row(model))


def _row(model: str) -> dict[str, Any]:
    return {"id": model, "object": "model", "created": CREATED, "owned_by": "simulator"}
