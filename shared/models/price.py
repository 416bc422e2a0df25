"""What a model costs, as data: decimal strings, so that no price is ever rounded by a float on its way."""

from datetime import date
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from shared.models.noun import Id, Noun

AMOUNT = r"^(0|[1-9][0-9]{0,8})(\.[0-9]{1,20})?$"
MULTIPLIER = r"^(0|[1-9][0-9]{0,3})(\.[0-9]{1,12})?$"

Amount = Annotated[str, StringConstraints(pattern=AMOUNT)]
"""A decimal number of US dollars, without sign and exponent."""
Multiplier = Annotated[str, StringConstraints(pattern=MULTIPLIER)]
"""A decimal number: `0.85` is 15 % off."""


class Amounts(BaseModel):
    """Each name says its unit (`mtok`: a million tokens). None: not known, which is not 0."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    input_usd_per_mtok: Amount | None = None
    output_usd_per_mtok: Amount | None = None
    cache_read_usd_per_mtok: Amount | None = None
    cache_write_usd_per_mtok: Amount | None = None
    reasoning_usd_per_mtok: Amount | None = None
    audio_in_usd_per_mtok: Amount | None = None
    audio_out_usd_per_mtok: Amount | None = None
    image_usd_each: Amount | None = None
    audio_usd_per_second: Amount | None = None
    batch_input_usd_per_mtok: Amount | None = None
    batch_output_usd_per_mtok: Amount | None = None


class Price(BaseModel):
    """Holds until the next one begins."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    valid_from: date
    """From midnight UTC."""
    amounts: Amounts
    """Without any amount: unknown from then on."""

    @property
    def known(self) -> bool:
        return self.amounts != Amounts()


class OwnPrice(Noun):
    """A price of the organisation's own (kind `price`). One row counts for a call, whole: of those that have begun, the
    newest that names its model, else the newest that names its provider alone.
    """

    provider: Id
    model: str | None = Field(default=None, min_length=1, max_length=300)
    """As the provider calls it. None: every model of the provider."""
    valid_from: date
    """From midnight UTC, until the next one begins."""
    amounts: Amounts | None = None
    """In place of the catalogue's. None: the catalogue's go on; without any amount: unknown from then on."""
    multiplier: Multiplier | None = None
    """Of whichever amounts hold."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.amounts is None and self.multiplier is None:
            raise ValueError("a price has amounts, a multiplier, or both")
        return self
