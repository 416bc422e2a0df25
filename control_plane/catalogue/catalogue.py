"""The catalogue as it stands in the repository: one line of JSON for each model, with its prices over time."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from shared.models.model import Model
from shared.models.noun import Id
from shared.models.price import Amounts, Price
from shared.models.provider import Door, Provider
from shared.pricing import model_id

FILE = Path(__file__).with_name("models.jsonl")
_DOORS: Mapping[str, Door] = {
    "chat": "chat",
    "completion": "completions",
    "embedding": "embeddings",
    "responses": "responses",
}
"""Types of models that gateways have a door for."""

Tokens = Annotated[int, Field(ge=1)]


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Entry(_Line):
    provider: Id
    name: str = Field(min_length=1, max_length=300)
    type: str = Field(pattern=r"^[a-z_]{1,40}$")
    context_tokens: Tokens | None = None
    output_tokens_max: Tokens | None = None
    abilities: tuple[str, ...] = ()
    retires_on: date | None = None
    prices: tuple[Price, ...] = ()
    """In the order of time; none: unknown."""

    @field_validator("prices", mode="before")
    @classmethod
    def _with_known_amounts(cls, prices: Any) -> Any:
        """On its way a price may hold what a gateway does not know yet; in this file that is a typing error."""
        for price in prices:
            amounts = price.get("amounts") if isinstance(price, dict) else None
            if isinstance(amounts, dict) and (unknown := amounts.keys() - Amounts.model_fields.keys()):
                raise ValueError(f"no amount is called {', '.join(sorted(unknown))}")
        return prices

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        starts = [price.valid_from for price in self.prices]
        if starts != sorted(set(starts)):
            raise ValueError("prices stand in the order of time, one for each day")
        return self


@dataclass(frozen=True, slots=True)
class Catalogue:
    entries: Sequence[Entry]
    providers: Mapping[str, Provider]
    """The built-in ones, by id: whose models gateways can serve."""
    digest: str
    """Hex SHA-256 of what both say: another digest, another catalogue."""

    def travelling(self) -> dict[str, Model]:
        """What gateways are told, by id: models of built-in providers, of types these have a door for (pure)."""
        return {model.id: model for entry in self.entries for model in self._model(entry)}

    def _model(self, entry: Entry) -> Iterator[Model]:
        provider = self.providers.get(entry.provider)
        if "*" in entry.name:  # A price for reserved capacity of many regions: no call can name it.
            return
        if provider is not None and _DOORS.get(entry.type) in provider.doors:
            yield Model.model_validate(
                {
                    "id": model_id(entry.provider, entry.name),
                    **entry.model_dump(include={"provider", "name", "type", "prices"}),
                }
            )


def load(providers: Mapping[str, Provider], file: Path = FILE) -> Catalogue:
    """Raises ValueError for a line that is none: a fault of the build."""
    data = file.read_bytes()
    rows = [providers[id_].model_dump(mode="json") for id_ in sorted(providers)]
    digest = hashlib.sha256(data + orjson.dumps(rows, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return Catalogue(tuple(parse(data)), providers, digest)


def parse(data: bytes) -> list[Entry]:
    """Raises ValueError naming the first line that is none, or a model that is there twice."""
    entries: dict[tuple[str, str], Entry] = {}
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            entry = Entry.model_validate_json(line)
        except ValueError as error:
            raise ValueError(f"line {number} of the catalogue: {error}") from None
        if (entry.provider, entry.name) in entries:
            raise ValueError(f"line {number} of the catalogue: {entry.provider} has {entry.name!r} already")
        entries[entry.provider, entry.name] = entry
    return list(entries.values())


def encode(entries: Sequence[Entry]) -> bytes:
    """The file's bytes: sorted, and without what is not known, so that two versions are easy to compare."""
    return b"".join(
        orjson.dumps(entry.model_dump(mode="json", exclude_none=True, exclude_defaults=True)) + b"\n"
        for entry in sorted(entries, key=lambda entry: (entry.provider, entry.name))
    )
