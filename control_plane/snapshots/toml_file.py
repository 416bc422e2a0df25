"""The TOML file a snapshot is made from, checked entry by entry. Its form, whole: `WHOLE` in its test."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Self

import orjson
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from control_plane.snapshots.content import Content, VirtualKeyDraft, WorkspaceContent
from control_plane.snapshots.errors import BuildError, at
from shared.crypto import api_keys
from shared.crypto.secret import Secret
from shared.models.api_key import ApiKey
from shared.models.config import Config
from shared.models.model import Model
from shared.models.noun import Id, Slug
from shared.models.organisation import Organisation
from shared.models.price import Amounts, OwnPrice
from shared.models.provider import BaseUrl, Provider, TemplateUrl
from shared.models.virtual_key import VirtualKey
from shared.models.workspace import InlineRules, ModelAlias, Workspace
from shared.pricing import model_id
from shared.protocol.wire import to_base64

FILE_BYTES_MAX = 16 * 1024 * 1024


def _secret(value: object) -> Secret:
    if not isinstance(value, str) or not value:
        raise ValueError("a text is wanted here")
    return Secret(value)


def _api_key(value: Secret) -> Secret:
    if not api_keys.well_formed(value.reveal_text()):
        raise ValueError("not an API key of Gatehouse: `gh_` and 49 letters and digits, the last six a checksum")
    return value


def _json(body: dict[str, Any]) -> dict[str, Any]:
    """Dates and not-a-number are TOML but no JSON; they would silently become something else."""
    if orjson.loads(orjson.dumps(body)) != body:
        raise ValueError("holds a value that JSON does not have (a date, `nan` or `inf`)")
    return body


SecretText = Annotated[Secret, BeforeValidator(_secret)]


class _Entry(BaseModel):
    """A misspelt field is an error: a person wrote it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, arbitrary_types_allowed=True)


class _Inline(InlineRules):
    model_config = ConfigDict(extra="forbid")


class _Alias(ModelAlias):
    model_config = ConfigDict(extra="forbid")


class _Provider(Provider):
    model_config = ConfigDict(extra="forbid")

    base_url: TemplateUrl


class _Amounts(Amounts):
    model_config = ConfigDict(extra="forbid")


class _Price(OwnPrice):
    model_config = ConfigDict(extra="forbid")

    amounts: _Amounts | None = None


class _Organisation(_Entry):
    id: Id
    name: str


class _Model(_Entry):
    provider: Id
    name: str = Field(min_length=1, max_length=150)
    type: str = "chat"


class _ApiKey(_Entry):
    id: Id
    name: str
    key: Annotated[SecretText, AfterValidator(_api_key)] = Field(repr=False)
    scopes: tuple[str, ...] = ("completions.write",)
    default_config: Slug | None = None
    models: tuple[str, ...] | None = None
    inline: _Inline = _Inline()
    expires_at: AwareDatetime | None = None
    revoked: bool = False


class _VirtualKey(_Entry):
    id: Id | None = None
    slug: Slug
    name: str
    provider: Id
    base_url: BaseUrl | None = None
    models: tuple[str, ...] | None = None
    credential: dict[str, SecretText] = Field(repr=False)


class _Config(_Entry):
    id: Id | None = None
    slug: Slug
    name: str
    body: Annotated[dict[str, Any], AfterValidator(_json)] = Field(repr=False)


class _Workspace(_Entry):
    id: Id
    slug: Slug
    name: str
    default_config: Slug | None = None
    allowed_providers: tuple[str, ...] | None = None
    inline: _Inline = _Inline(keys=True, configs=True, hosts=True)
    model_aliases: dict[str, _Alias] = {}
    api_keys: tuple[_ApiKey, ...] = ()
    virtual_keys: tuple[_VirtualKey, ...] = ()
    configs: tuple[_Config, ...] = ()

    @model_validator(mode="after")
    def _inline_is_whole(self) -> Self:
        if None in (self.inline.keys, self.inline.configs, self.inline.hosts):
            raise ValueError("a workspace's `inline` says keys, configs and hosts, each true or false")
        return self


class SnapshotFile(_Entry):
    """The whole file, checked by itself; `content.check` checks what points at what."""

    gateway: Id
    organisation: _Organisation
    providers: tuple[_Provider, ...] = ()
    models: tuple[_Model, ...] = ()
    prices: tuple[_Price, ...] = ()
    workspaces: tuple[_Workspace, ...] = ()

    def content(self, hash_key: Secret) -> Content:
        """The nouns. `hash_key` is the organisation's key of the API keys' keyed hash. Raises BuildError."""
        return Content(
            gateway=self.gateway,
            organisation=Organisation(
                id=self.organisation.id,
                name=self.organisation.name,
                api_key_hash_key=to_base64(hash_key.reveal()),
            ),
            providers=tuple(Provider.model_validate(entry.model_dump()) for entry in self.providers),
            models=tuple(_model(("models", i), entry) for i, entry in enumerate(self.models)),
            prices=tuple(OwnPrice.model_validate(entry.model_dump()) for entry in self.prices),
            workspaces=tuple(_workspace(entry, hash_key) for entry in self.workspaces),
        )


def read(path: Path) -> SnapshotFile:
    """Raises BuildError naming the entry; OSError if the file cannot be read."""
    with path.open("rb") as file:
        text = file.read(FILE_BYTES_MAX + 1)
    if len(text) > FILE_BYTES_MAX:
        raise BuildError(str(path), f"more than {FILE_BYTES_MAX} bytes")
    try:
        return SnapshotFile.model_validate(tomllib.loads(text.decode()))
    except ValidationError as error:
        raise _fault(error, ()) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BuildError(str(path), f"not TOML: {error}") from None


def _model(path: tuple[str | int, ...], entry: _Model) -> Model:
    try:
        return Model.model_validate({"id": model_id(entry.provider, entry.name), **entry.model_dump()})
    except ValidationError as error:
        raise _fault(error, path) from None


def _workspace(entry: _Workspace, hash_key: Secret) -> WorkspaceContent:
    listed = {"api_keys", "virtual_keys", "configs"}
    return WorkspaceContent(
        workspace=Workspace.model_validate(entry.model_dump(exclude=listed)),
        api_keys=tuple(
            ApiKey(
                workspace=entry.id,
                hash=api_keys.keyed_hash(hash_key, key.key.reveal_text()).hex(),
                expires_at_ms=None if key.expires_at is None else round(key.expires_at.timestamp() * 1000),
                **key.model_dump(exclude={"key", "expires_at"}),
            )
            for key in entry.api_keys
        ),
        virtual_keys=tuple(_virtual_key(entry.id, key) for key in entry.virtual_keys),
        configs=tuple(
            Config(
                workspace=entry.id,
                id=config.id or f"{entry.id}/{config.slug}",
                **config.model_dump(exclude={"id"}),
            )
            for config in entry.configs
        ),
    )


def _virtual_key(workspace: str, entry: _VirtualKey) -> VirtualKeyDraft:
    noun = VirtualKey(
        workspace=workspace,
        id=entry.id or f"{workspace}/{entry.slug}",
        credential="",
        **entry.model_dump(exclude={"id", "credential"}),
    )
    fields = {name: secret.reveal_text() for name, secret in entry.credential.items()}
    return VirtualKeyDraft(noun, Secret(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)))


def _fault(error: ValidationError, path: tuple[str | int, ...]) -> BuildError:
    first = error.errors(include_url=False, include_input=False)[0]
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return BuildError(at(*path, *first["loc"]) or "the file", first["msg"].removeprefix("Value error, ") + more)
