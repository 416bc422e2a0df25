"""A row of the model catalogue: which provider lists which model, and for which door."""

from typing import Literal

from pydantic import Field

from shared.models.noun import Id, Noun
from shared.models.price import Price


class Model(Noun):
    provider: Id
    name: str = Field(min_length=1, max_length=300)
    """As the provider calls it, and as callers write it in `model`."""
    type: Literal["chat", "completion", "embedding", "responses"] = "chat"
    created_at_ms: int = 0
    prices: tuple[Price, ...] = ()
    """In the order of time; none: unknown."""
