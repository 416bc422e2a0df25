"""What a model costs, as data: decimal strings, so that no price is ever rounded by a float on its way."""

from datetime import date
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

Amount = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,8})(\.[0-9]{1,20})?$")]
"""A decimal number of US dollars, without sign and exponent."""


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
