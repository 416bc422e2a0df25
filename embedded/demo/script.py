"""What is played: providers, models, teams and mistakes, out of `traffic.toml`; and the draws from it (pure)."""

import math
import random
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

FILE = Path(__file__).with_name("traffic.toml")
_SPREAD = 0.45
"""Of the logarithm."""

Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Model(_Part):
    took_ms: int
    """Median."""
    tokens: tuple[int, int]
    """Medians, in and out."""
    fails: Share = 0
    cached: Share = 0
    """Of the input."""
    reasoning: Share = 0
    """Of the output."""


class Provider(_Part):
    name: str
    models: Mapping[str, Model]


class Team(_Part):
    name: str
    weight: int
    config: str | None = None
    features: tuple[str, ...]
    models: tuple[str, ...]
    """As a call names them; empty: the config says which."""


class Mistakes(_Part):
    unknown_key: Share
    unknown_virtual_key: Share
    forbidden_model: Share
    leaves: Share


class Script(_Part):
    providers: Mapping[str, Provider]
    configs: Mapping[str, Mapping[str, Any]]
    teams: tuple[Team, ...]
    mistakes: Mistakes

    def model(self, name: str) -> Model | None:
        return next((p.models[name] for p in self.providers.values() if name in p.models), None)


class Usage(_Part):
    input: int
    output: int
    cached: int
    reasoning: int


def read(file: Path = FILE) -> Script:
    return Script.model_validate(tomllib.loads(file.read_text()))


def around(median: float, chance: random.Random) -> float:
    """Now more, now less than the median, and rarely very much more, as durations and lengths are."""
    return median * math.exp(chance.gauss(0, _SPREAD))


def usage(model: Model, chance: random.Random) -> Usage:
    given, said = model.tokens
    input_, output = round(around(given, chance)), round(around(said, chance)) if said else 0
    cached = round(input_ * model.cached) if chance.random() < model.cached else 0
    return Usage(input=input_, output=output, cached=cached, reasoning=round(output * model.reasoning))
