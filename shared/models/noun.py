"""What every noun that travels has in common."""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,199}$")]
Slug = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class Kind(StrEnum):
    """The kinds of resource this build understands. Others are kept as received and not interpreted (GHS/1)."""

    ORGANISATION = "organisation"
    WORKSPACE = "workspace"
    API_KEY = "api_key"
    VIRTUAL_KEY = "virtual_key"
    CONFIG = "config"
    PROVIDER = "provider"
    MODEL = "model"
    PRICE = "price"


class Noun(BaseModel):
    """A resource's plain body. A field this build does not know is ignored: the newer side added it optional."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    id: Id
