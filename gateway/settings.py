"""Every setting of the gateway: name, type, default, unit. Only `app.py` reads it from the environment."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from gateway.upstream.egress import Egress
from gateway.upstream.egress import parse as parse_egress
from shared.settings import PREFIX, Bytes, Folder, Host, LogLevel, OptionalPort, Origin, PlaneSettings, Seconds

CACHE_BYTES_MAX = 1_000_000
IDEMPOTENCY_KEEP_S_MAX = 7 * 24 * 60 * 60
"""What an envelope holds, less what stands around an answer."""
_REDIS_OPTIONS = frozenset(
    {
        "client_name",
        "db",
        "health_check_interval",
        "max_connections",
        "password",
        "socket_connect_timeout",
        "socket_keepalive",
        "socket_timeout",
        "username",
    }
)
"""Besides those of TLS. The client's others stand for Python's objects, or would make text of what is bytes here."""
RUNNING_REQUESTS_MAX = 100_000
"""Each has its place in the worker's table of running requests, 256 bytes of disk."""

Network = IPv4Network | IPv6Network


class Settings(PlaneSettings):
    state_dir: Folder = Path(".gatehouse/gateway")
    """Node keys and the disk copy of the configuration; made 0700."""
    redis_url: SecretStr | None = None
    """`redis://`, `rediss://` or `unix://`: where nodes of one gateway share their copy of the configuration."""
    control_plane_url: Origin | None = None
    """Scheme, host and port of the control plane; asked before the addresses that the enrolment named."""
    enrolment_token: SecretStr | None = None
    """`ghe_…`, for a first start. What it brought is kept in the state folder."""
    snapshot: Path | None = None
    """A sealed, signed snapshot file that the agent watches: configuration without a control plane that runs."""
    signing_fingerprint: str | None = Field(default=None, pattern=r"^sha256:[0-9a-f]{64}$")
    """With a snapshot file: `sha256:…` of the key it must be signed by. An enrolled node has it from its token."""
    gateway: str = "gw_local"
    """With a snapshot file: id of the gateway (the registered data plane) it must be made for."""

    host: Host = "127.0.0.1"
    """Address that callers reach; `0.0.0.0` is every one of IPv4 that this machine has, `::` every one."""
    port: int = Field(default=8787, ge=1, le=65535)
    tls_cert_file: Path | None = None
    """PEM: the certificate callers see, and its chain. With it the port speaks TLS; a renewed file is taken up."""
    tls_key_file: Path | None = None
    """PEM: its private key, without a password."""
    workers: int = Field(default=2, ge=1, le=256)
    """Processes that carry calls."""
    log_level: LogLevel = "info"
    """`debug` also tells the record of each call."""
    admin_forward: bool = False
    """Requests to the admin API's `/v1` paths go on to the control plane; else callers are told where it is."""

    upstream_allow_cidrs: Annotated[tuple[Network, ...], NoDecode] = ()
    """Private networks providers may be reached in, comma separated. Everything else private is refused."""
    upstream_ca_file: Path | None = None
    """PEM: certificate authorities to trust for providers, besides the system's."""
    https_proxy: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices(f"{PREFIX}HTTPS_PROXY", "HTTPS_PROXY")
    )
    """`http://name:password@host:port`: what calls over https go through, by CONNECT; also read as `HTTPS_PROXY`."""
    no_proxy: str | None = Field(default=None, validation_alias=AliasChoices(f"{PREFIX}NO_PROXY", "NO_PROXY"))
    """Hosts that are called directly: names and all below them, addresses, networks; also read as `NO_PROXY`."""

    body_bytes_max: Bytes = 32 * 1024 * 1024
    """Of a request; a larger one is a 413."""
    upload_bytes_max: Bytes = 512 * 1024 * 1024
    """Of a request that passes through while it comes: files, pictures, sound."""
    answer_bytes_max: Bytes = 64 * 1024 * 1024
    """Of a provider's plain answer. A stream has no end that could be too far."""
    cache_answer_bytes_max: Bytes = Field(default=512 * 1024, le=CACHE_BYTES_MAX)
    """Of an answer that is kept, where a config says so; a larger one is passed on and not kept."""
    idempotency_keep_s: int = Field(default=24 * 60 * 60, ge=60, le=IDEMPOTENCY_KEEP_S_MAX)
    """How long an answer to a call with an idempotency key is given again."""
    running_requests_max: int = Field(default=2_000, ge=1, le=RUNNING_REQUESTS_MAX)
    """For each worker; whoever comes beyond is told to come back later (503)."""
    body_wait_s: Seconds = 60.0
    """How long a caller may take to send a request's body."""
    connect_s: Seconds = 5.0
    """Until a provider's connection stands, with TLS."""
    first_byte_s: Seconds = 300.0
    """Until a provider's stream begins."""
    plain_answer_s: Seconds = 600.0
    """Until a provider's plain answer begins."""
    between_bytes_s: Seconds = 120.0
    """Between two parts of a provider's answer."""
    total_s: Seconds = 900.0
    """A call as a whole, with its retries and fallbacks."""
    drain_s: Seconds = 30.0
    """How long running requests may go on after a stop was asked for."""

    spool_bytes_max: Bytes = 8 * 1024**3
    """Of records that wait for the control plane; beyond, the oldest are dropped and counted."""
    spool_disk_share_max: float = Field(default=0.2, gt=0, le=1)
    """They take up no more than this share of the disk either."""
    ship_drain_s: Seconds = 5.0
    """How long the agent goes on sending records after a stop was asked for and the workers have ended."""

    metrics_host: Host = "127.0.0.1"
    """Address of `/metrics`, for Prometheus."""
    metrics_port: OptionalPort = 8788
    """Its port; 0 or empty: it is not served."""

    @field_validator("upstream_allow_cidrs", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(_network(part.strip()) for part in value.split(",") if part.strip())

    @field_validator("https_proxy", mode="before")
    @classmethod
    def _none_if_empty(cls, value: object) -> object:
        return None if value == "" else value

    @model_validator(mode="after")
    def _is_proxy(self) -> Self:
        _ = self.egress
        return self

    @property
    def egress(self) -> Egress | None:
        """Raises ValueError, which shows nothing of it."""
        if self.https_proxy is None:
            return None
        try:
            return parse_egress(self.https_proxy.get_secret_value(), self.no_proxy or "")
        except ValueError as error:
            raise ValueError(f"{PREFIX}HTTPS_PROXY, or HTTPS_PROXY: {error}") from None

    @field_validator("redis_url")
    @classmethod
    def _of_redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _is_redis(value.get_secret_value()):
            raise ValueError("not of the form redis://:password@host:port/number (or rediss://, or unix://)")
        if value is not None and "?" in value.get_secret_value() and not _is_understood(value.get_secret_value()):
            raise ValueError("what follows its ? is no option of a connection, or no value for it")
        return value

    @model_validator(mode="after")
    def _certificate_and_its_key(self) -> Self:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("GATEHOUSE_TLS_CERT_FILE and GATEHOUSE_TLS_KEY_FILE are set together or not at all")
        return self

    @model_validator(mode="after")
    def _file_and_its_signer(self) -> Self:
        if (self.snapshot is None) != (self.signing_fingerprint is None):
            raise ValueError("GATEHOUSE_SNAPSHOT and GATEHOUSE_SIGNING_FINGERPRINT are set together or not at all")
        return self


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(f"networks are wanted, as in 10.0.0.0/8,fd00::/8 ({error})") from None


def _is_redis(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # Not told: an address that is cut at the wrong place shows its password as something else.
        return False
    # The client knows schemes in small letters alone, and leaves out what follows a #: the rest of somebody's password.
    if not url.startswith(f"{parts.scheme}://") or "#" in url:
        return False
    return parts.scheme in ("redis", "rediss") or (parts.scheme == "unix" and bool(parts.path))


def _is_understood(url: str) -> bool:
    """Whether the client takes the URL's options: else each worker would end as it makes its connection."""
    from redis.asyncio import ConnectionPool  # noqa: PLC0415 - most URLs have none
    from redis.exceptions import RedisError  # noqa: PLC0415 - as above

    names = {name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}
    if not all(name in _REDIS_OPTIONS or name.startswith("ssl_") for name in names):
        return False
    try:
        ConnectionPool.from_url(url).make_connection()  # type: ignore[no-untyped-call]
    except (RedisError, ValueError, TypeError):
        return False
    return True
