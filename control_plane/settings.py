"""Every setting of the control plane: name, type, default, unit. Only `app.py` reads it from the environment."""

import re
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from shared.settings import Folder, Host, LogLevel, OptionalPort, Origin, PlaneSettings, Seconds

_EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - told apart, not listened on


class Settings(PlaneSettings):
    postgres_url: SecretStr
    """`postgresql://role:password@host/name`; the role owns the database and is no superuser."""
    clickhouse_url: SecretStr | None = None
    """`http://user:password@host:port/database` (or https): where records are kept and counted."""
    clickhouse_cluster: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")
    """Name of the ClickHouse cluster whose servers all hold the same; without one the tables are of one server."""
    record_days_max: int = Field(default=400, ge=1, le=3_650)
    """How long records are kept."""
    record_minute_days_max: int = Field(default=30, ge=1, le=3_650)
    """How long sums by the minute are."""
    record_hour_days_max: int = Field(default=1_100, ge=1, le=3_650)
    """How long sums by the hour are."""
    state_dir: Folder = Path(".gatehouse/control_plane")
    """The signing key and, with a local KMS, its key file; made 0700."""
    kms: str = "local:kms.json"
    """`local:PATH`, relative to the state folder."""

    host: Host = "127.0.0.1"
    """Address to listen on; `0.0.0.0` is every one of IPv4 that this machine has, `::` every one."""
    port: int = Field(default=8080, ge=1, le=65535)
    tls_cert_file: Path | None = None
    """PEM: the certificate of the port, and its chain. With it the port speaks TLS; a renewed file is taken up."""
    tls_key_file: Path | None = None
    """PEM: its private key, without a password."""
    public_url: Origin | None = None
    """How browsers and gateways reach this control plane, where that is not host and port."""
    log_level: LogLevel = "info"
    connections_max: int = Field(default=20, ge=2, le=500)
    """To PostgreSQL."""
    drain_s: Seconds = 10.0
    """How long running requests may go on after a stop was asked for."""
    metrics_host: Host = "127.0.0.1"
    """Address of `/metrics`, for Prometheus."""
    metrics_port: OptionalPort = 8081
    """Its port; 0 or empty: it is not served."""

    @field_validator("kms")
    @classmethod
    def _known(cls, value: str) -> str:
        if not value.startswith("local:") or value == "local:":
            raise ValueError("the KMS is local:PATH, with a path in or outside of the state folder")
        return value

    @field_validator("clickhouse_url")
    @classmethod
    def _of_clickhouse(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _is_clickhouse(value.get_secret_value()):
            raise ValueError("not of the form http://user:password@host:port/database (or https://)")
        return value

    @property
    def url(self) -> str:
        """Where browsers and gateways are told that this control plane is."""
        if self.public_url is not None:
            return self.public_url
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'http' if self.tls_cert_file is None else 'https'}://{host}:{self.port}"

    @property
    def endpoints(self) -> list[str]:
        """What nodes keep of it; nothing where host and port do not say how it is reached from elsewhere."""
        return [] if self.public_url is None and self.host in _EVERY_ADDRESS else [self.url]

    @model_validator(mode="after")
    def _certificate_and_its_key(self) -> Self:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("GATEHOUSE_TLS_CERT_FILE and GATEHOUSE_TLS_KEY_FILE are set together or not at all")
        return self


def _is_clickhouse(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # Not told: an address that is cut at the wrong place shows its password as something else.
        return False
    # The database's name stands in SQL; whatever comes after it would be options of the client library.
    named = re.fullmatch(r"/?|/[A-Za-z_][A-Za-z0-9_]{0,63}", parts.path) is not None
    return parts.scheme in ("http", "https") and bool(parts.hostname) and named and "?" not in url and "#" not in url
