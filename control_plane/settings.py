"""Every setting of the control plane: name, type, default, unit. Only `app.py` reads it from the environment."""

from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.settings import PREFIX, LogLevel, Origin, Seconds


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    postgres_url: SecretStr
    """`postgresql://role:password@host/name`; the role owns the database and is no superuser."""
    state_dir: Path = Path(".gatehouse/control_plane")
    """The signing key and, with a local KMS, its key file; made 0700."""
    kms: str = "local:kms.json"
    """`local:PATH`, relative to the state folder."""

    host: str = "127.0.0.1"
    """Address to listen on; `0.0.0.0` is every one this machine has."""
    port: int = Field(default=8080, ge=1, le=65535)
    public_url: Origin | None = None
    """How browsers and gateways reach this control plane, where that is not host and port."""
    log_level: LogLevel = "info"
    connections_max: int = Field(default=20, ge=2, le=500)
    """To PostgreSQL."""
    drain_s: Seconds = 10.0
    """How long running requests may go on after a stop was asked for."""

    @field_validator("kms")
    @classmethod
    def _known(cls, value: str) -> str:
        if not value.startswith("local:") or value == "local:":
            raise ValueError("the KMS is local:PATH, with a path in or outside of the state folder")
        return value
