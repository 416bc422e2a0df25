"""What a provider's credential may be, as forms: what people fill in, and what a gateway opens (no I/O).

A provider's row names its form (`shared/models/provider.py`). A panel makes its input from the form's JSON schema, so a
new form needs no work there: flat, with strings alone.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints, WithJsonSchema, model_validator

from shared.crypto.api_keys import API_KEY
from shared.crypto.certificates import PEM_CHARS_MAX, client_certificate, pem_certificates
from shared.crypto.secret import Secret
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


def _absent_if_empty(value: object) -> object:
    return None if value == "" else value


_KEY_SCHEMA = {"type": "string", "format": "password", "minLength": 1, "maxLength": KEY_CHARS_MAX}

ProviderKey = Annotated[Secret, BeforeValidator(_provider_key), WithJsonSchema(_KEY_SCHEMA)]
OptionalKey = Annotated[ProviderKey | None, BeforeValidator(_absent_if_empty), WithJsonSchema(_KEY_SCHEMA)]

Word = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$")]
"""Part of a host's name or of a path: nothing in it could make another host or path of it."""
OptionalWord = Annotated[
    Word | None, BeforeValidator(_absent_if_empty), WithJsonSchema({"type": "string", "maxLength": 128})
]


def _certificates(value: object) -> Secret | None:
    return None if value in (None, "") else Secret(pem_certificates(value))


def _client_certificate(value: object) -> Secret | None:
    return None if value in (None, "") else client_certificate(value)


def _pem_schema(description: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "format": "pem", "maxLength": PEM_CHARS_MAX, "description": description})


Certificates = Annotated[
    Secret | None, BeforeValidator(_certificates), _pem_schema("PEM: authorities to trust, besides the usual ones")
]
ClientCertificate = Annotated[
    Secret | None,
    BeforeValidator(_client_certificate),
    _pem_schema("PEM: the certificate that is shown to the host, its chain, and its private key without a password"),
]


class Form(BaseModel):
    """Fields are `Secret` or plain words; the words may stand in a host's address (`Provider.base_url`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, arbitrary_types_allowed=True)

    ca_certificates: Certificates = None
    client_certificate: ClientCertificate = None

    def words(self) -> Mapping[str, str]:
        return {name: value for name, value in self if isinstance(value, str)}

    def sealable(self) -> Secret:
        """What is sealed: the filled fields as JSON, sorted by name."""
        fields = {
            name: value.reveal_text() if isinstance(value, Secret) else value
            for name, value in self
            if value is not None
        }
        return Secret(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS))


class ApiKeyForm(Form):
    """A key that goes into one header."""

    api_key: ProviderKey


class OptionalApiKeyForm(Form):
    """The same, for a host that may want none."""

    api_key: OptionalKey = None


class AddressedKeyForm(Form):
    """A key that goes into one header, for a host whose address says whose it is."""

    api_key: ProviderKey


class AccountForm(AddressedKeyForm):
    account: Word
    """As the host names it in its address: an id, or an identifier."""


class WorkspaceForm(AddressedKeyForm):
    host: Word
    """Of the workspace: a name without scheme and path."""


RoleArn = Annotated[
    str, StringConstraints(strip_whitespace=True, pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/[\x21-\x7e]{1,512}$")
]
Region = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]{1,2}$")]


class AwsForm(Form):
    """Keys that sign each request in a region, as they are or to take a role with; or a key that goes into a header."""

    region: Region
    access_key_id: OptionalKey = None
    secret_access_key: OptionalKey = None
    session_token: OptionalKey = None
    role_arn: Annotated[
        RoleArn | None, BeforeValidator(_absent_if_empty), WithJsonSchema({"type": "string", "maxLength": 600})
    ] = None
    external_id: OptionalWord = None
    api_key: OptionalKey = None

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> "AwsForm":
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("`access_key_id` and `secret_access_key` come together")
        if (self.api_key is None) == (self.access_key_id is None):
            raise ValueError("either `api_key`, or `access_key_id` and `secret_access_key`, is wanted")
        if self.api_key is not None and (self.session_token or self.role_arn or self.external_id):
            raise ValueError("`api_key` is used as it is, without a session or a role")
        if self.external_id is not None and self.role_arn is None:
            raise ValueError("`external_id` belongs to a `role_arn`")
        return self


class EntraForm(Form):
    """A resource, and either its key or an application that takes a token of its tenant."""

    resource: Word
    api_key: OptionalKey = None
    tenant_id: OptionalWord = None
    client_id: OptionalWord = None
    client_secret: OptionalKey = None
    api_version: OptionalWord = None
    """Of the older API, where each deployment has a path of its own; absent: the newer one, which has no versions."""

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> "EntraForm":
        application = (self.tenant_id, self.client_id, self.client_secret)
        if any(application) and not all(application):
            raise ValueError("`tenant_id`, `client_id` and `client_secret` come together")
        if (self.api_key is None) == (self.tenant_id is None):
            raise ValueError("either `api_key`, or `tenant_id`, `client_id` and `client_secret`, is wanted")
        return self


ACCOUNT_CHARS_MAX = 16_384


def _account(value: object) -> Secret:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str) or len(value) > ACCOUNT_CHARS_MAX:
        raise ValueError(f"the key file's text, at most {ACCOUNT_CHARS_MAX} characters, is wanted here")
    try:
        parsed = orjson.loads(value)
    except orjson.JSONDecodeError:
        raise ValueError("a service account's key file is JSON") from None
    wanted = ("client_email", "private_key")
    if not isinstance(parsed, dict) or not all(isinstance(parsed.get(name), str) for name in wanted):
        raise ValueError("a service account's key file names `client_email` and `private_key`")
    return Secret(value)


class ServiceAccountForm(Form):
    """A project, where its models run, and the account that calls them."""

    project: Word
    location: Word
    """A region, or `global`."""
    service_account: Annotated[
        Secret,
        BeforeValidator(_account),
        WithJsonSchema(
            {"type": "string", "format": "password", "minLength": 1, "maxLength": ACCOUNT_CHARS_MAX},
        ),
    ]
    """The text of its key file."""


CredentialForm = Literal["api_key", "optional_api_key", "account", "workspace", "aws", "entra", "service_account"]
"""Which form a provider's credential has."""

FORMS: Mapping[CredentialForm, type[Form]] = {
    "api_key": ApiKeyForm,
    "optional_api_key": OptionalApiKeyForm,
    "account": AccountForm,
    "workspace": WorkspaceForm,
    "aws": AwsForm,
    "entra": EntraForm,
    "service_account": ServiceAccountForm,
}
assert FORMS.keys() == set(get_args(CredentialForm))


def words_of(form: CredentialForm) -> tuple[str, ...]:
    """Names of the form's fields that are no secret: those that may stand in a host's address."""
    fields = FORMS[form].model_json_schema()["properties"]
    return tuple(name for name, field in fields.items() if field.get("format") not in ("password", "pem"))


def schema(form: CredentialForm) -> dict[str, Any]:
    """The form as JSON schema: what is its own first, then what every form has."""
    found = FORMS[form].model_json_schema()
    properties = found["properties"]
    general = {name: properties.pop(name) for name in Form.model_fields}
    return {**found, "properties": {**properties, **general}}
