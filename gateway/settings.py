"""Every setting of the gateway: name, type, default, unit. Only `app.py` reads it from the environment."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Network = IPv4Network | IPv6Network


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="GATEHOUSE_", frozen=True, extra="ignore")

    state_dir: Path = Path(".gatehouse/gateway")
    """Node keys and the disk copy of the configuration; made 0700."""
    redis_url: SecretStr | None = None
    control_plane_url: str | None = Field(default=None, pattern=r"^https?://[^/?#]+/?$")
    """Scheme, host and port of the control plane; asked before the addresses that the enrolment named."""
    enrolment_token: SecretStr | None = None
    """`ghe_…`, for a first start. What it brought is kept in the state folder."""
    snapshot: Path | None = None
    """A sealed, signed snapshot file that the agent watches: configuration without a control plane that runs."""
    signing_fingerprint: str | None = Field(default=None, pattern=r"^sha256:[0-9a-f]{64}$")
    """With a snapshot file: `sha256:…` of the key it must be signed by. An enrolled node has it from its token."""
    gateway: str = "gw_local"
    """With a snapshot file: id of the gateway (the registered data plane) it must be made for."""

    host: str = "127.0.0.1"
    port: int = Field(default=8787, ge=1, le=65535)
    workers: int = Field(default=2, ge=1, le=256)
    log_level: str = "info"

    upstream_allow_cidrs: Annotated[tuple[Network, ...], NoDecode] = ()
    """Private networks providers may be reached in, comma separated. Everything else private is refused."""
    upstream_ca_file: Path | None = None

    body_bytes_max: int = 32 * 1024 * 1024
    answer_bytes_max: int = 64 * 1024 * 1024
    running_requests_max: int = 2_000
    body_wait_s: float = 60.0
    """How long a caller may take to send a request's body."""
    connect_s: float = 5.0
    first_byte_s: float = 300.0
    plain_answer_s: float = 600.0
    between_bytes_s: float = 120.0
    total_s: float = 900.0
    drain_s: float = 30.0
    """How long running requests may go on after a stop was asked for."""

    @field_validator("control_plane_url")
    @classmethod
    def _without_slash(cls, value: str | None) -> str | None:
        return None if value is None else value.rstrip("/")

    @field_validator("upstream_allow_cidrs", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
