"""Credentials by dialect: the form of each, how it is checked, and the bytes that are sealed (pure)."""

from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, WithJsonSchema

from control_plane.errors import Invalid
from control_plane.web import problem
from shared.crypto.api_keys import API_KEY
from shared.crypto.secret import Secret
from shared.models.provider import Dialect
from shared.models.virtual_key import fits_a_header

KEY_CHARS_MAX = 4_096


def _provider_key(value: object) -> Secret:
    if not isinstance(value, str):
        raise ValueError("a text is wanted here")  # noqa: TRY004 - pydantic turns only ValueError into a fault
    key = Secret(value.strip())
    if len(value) > KEY_CHARS_MAX or not fits_a_header(key):
        raise ValueError(f"a provider's key is 1 to {KEY_CHARS_MAX} characters of visible ASCII without spaces")
    if key.reveal_text().startswith(f"{API_KEY}_"):
        raise ValueError("this is a key of Gatehouse; the provider's own is wanted here")
    return key


ProviderKey = Annotated[
    Secret,
    BeforeValidator(_provider_key),
    WithJsonSchema({"type": "string", "format": "password", "minLength": 1, "maxLength": KEY_CHARS_MAX}),
]


class _Credential(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, arbitrary_types_allowed=True)


class ApiKeyCredential(_Credential):
    """A key that goes into one header."""

    api_key: ProviderKey


FORMS: Mapping[Dialect, type[_Credential]] = {"openai": ApiKeyCredential}


def parse_credential(dialect: Dialect, given: Secret) -> Secret:
    """`given`, the JSON of a form, as the bytes that are sealed. Raises Invalid below the pointer `/credential`."""
    try:
        form = FORMS[dialect].model_validate(orjson.loads(given.reveal()))
    except ValidationError as error:
        fault = problem.invalid_body(error)
        raise Invalid(fault.detail, code="credential_invalid", pointer=f"/credential{fault.pointer}") from None
    fields = {name: secret.reveal_text() for name, secret in form if isinstance(secret, Secret)}
    return Secret(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS))


def schema(dialect: Dialect) -> dict[str, Any]:
    """The form as JSON schema."""
    return FORMS[dialect].model_json_schema()
