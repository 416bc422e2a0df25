"""The certificate browsers and gateways see: TLS settings of the port, loaded again when its files change."""

import asyncio
import ssl
from pathlib import Path

import structlog

LOOK_S = 5.0
"""How often the files are looked at."""

log = structlog.get_logger("web.certificate")

_Seen = tuple[tuple[int, int, int], ...]


class Certificate:
    """A renewed certificate holds for the connections after it; one that does not load leaves the old one in use."""

    __slots__ = ("_files", "_seen", "context")

    def __init__(self, cert_file: Path, key_file: Path) -> None:
        """Both PEM, the certificate first in its chain. Raises ValueError naming what does not load."""
        self._files = (cert_file, key_file)
        self._seen = _signature(self._files)
        self.context = _context(*self._files)

    async def follow(self) -> None:
        """Look for changes until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            await asyncio.to_thread(self.reload)

    def reload(self) -> None:
        """Take up what the files hold now, if they changed."""
        seen = _signature(self._files)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            _context(*self._files)  # Tried apart: a live one would be left with half of a pair that does not fit.
            self.context.load_cert_chain(*self._files, password=_no_password)
        except (ValueError, OSError) as error:
            log.error("certificate_not_loaded", detail=str(error))  # noqa: TRY400 - the files' fault, and said in a line
        else:
            log.info("certificate_loaded", file=str(self._files[0]))


def _context(cert_file: Path, key_file: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(cert_file, key_file, password=_no_password)
    except OSError as error:  # An ssl.SSLError is one too.
        reason = getattr(error, "reason", None) or error.strerror or "it holds none"
        raise ValueError(f"no certificate and key can be loaded from {cert_file} and {key_file}: {reason}") from None
    return context


def _no_password() -> str:
    raise ValueError("the key is locked by a password; store it without one, readable for its owner alone")


def _signature(files: tuple[Path, ...]) -> _Seen:
    return tuple(_of(file) for file in files)


def _of(file: Path) -> tuple[int, int, int]:
    try:
        stat = file.stat()
    except OSError:
        return 0, 0, 0
    return stat.st_ctime_ns, stat.st_ino, stat.st_size  # By the time of change: rights that are mended are one too.
