"""Every setting of the control plane: name, type, default, unit. Only `app.py` reads it from the environment."""

from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="GATEHOUSE_", frozen=True, extra="ignore")

    postgres_url: SecretStr
    state_dir: Path = Path(".gatehouse/control_plane")
    """The signing key and, with a local KMS, its key file; made 0700."""
    kms: str = Field(default="local:kms.json", pattern=r"^local:.+$")
    """`local:PATH`, relative to the state folder."""

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=1, le=65535)
    public_url: str | None = None
    """How browsers and gateways reach this control plane, where that is not host and port."""
    log_level: str = "info"
    connections_max: int = Field(default=20, ge=2, le=500)
    drain_s: float = 10.0

    @field_validator("public_url")
    @classmethod
    def _without_slash(cls, value: str | None) -> str | None:
        return None if value is None else value.rstrip("/")
