"""How providers prove who they are, and how a gateway does to them: the TLS settings of every connection out."""

import asyncio
import hashlib
import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from shared.crypto.secret import Secret

CONTEXTS_MAX = 256


@dataclass(frozen=True, slots=True)
class Trust:
    """What connections to one place need besides what all have. Two of the same content are equal."""

    digest: str
    ca: bytes = field(repr=False, compare=False)
    """PEM: authorities; empty: no others."""
    client: Secret | None = field(compare=False)
    """PEM: a certificate with its chain and its private key, shown to whoever asks for one."""


def trust(ca: bytes, client: Secret | None) -> Trust | None:
    """None if there is nothing special."""
    if not ca and client is None:
        return None
    digest = hashlib.sha256(len(ca).to_bytes(8) + ca)
    if client is not None:
        digest.update(client.reveal())
    return Trust(digest.hexdigest(), ca, client)


class Contexts:
    """The TLS settings by what is trusted: made at the first connection that needs them."""

    __slots__ = ("_contexts_max", "_plain", "_special")

    def __init__(self, plain: ssl.SSLContext, contexts_max: int = CONTEXTS_MAX) -> None:
        self._plain = plain
        self._contexts_max = contexts_max
        self._special: dict[Trust, ssl.SSLContext] = {}

    async def of(self, trust: Trust | None) -> ssl.SSLContext:
        """Raises ssl.SSLError for a certificate that OpenSSL does not take."""
        if trust is None:
            return self._plain
        found = self._special.get(trust)
        if found is None:
            # In a thread: reading the system's authorities takes tens of milliseconds.
            found = await asyncio.to_thread(self._made, trust)
            if len(self._special) >= self._contexts_max:
                self._special.clear()
            self._special[trust] = found
        return found

    def _made(self, trust: Trust) -> ssl.SSLContext:
        context = client_context(None)
        # Those of the operator's own file; the system's are there already.
        for authorities in (b"".join(self._plain.get_ca_certs(binary_form=True)), trust.ca.decode("ascii")):
            if authorities:
                context.load_verify_locations(cadata=authorities)
        if trust.client is not None:
            _show(context, trust.client)
        return context


def _show(context: ssl.SSLContext, client: Secret) -> None:
    """OpenSSL takes the pair from a file alone: from one in memory that nobody else can open."""
    descriptor = os.memfd_create("client-certificate")
    try:
        os.write(descriptor, client.reveal())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def client_context(ca_file: Path | None) -> ssl.SSLContext:
    """TLS 1.2 or newer, the system's roots and those of `ca_file` (PEM), the host's name checked.

    Raises ValueError naming `ca_file` if it cannot be read or holds no certificate.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is None:
        return context
    try:
        context.load_verify_locations(cafile=ca_file)
    except OSError as error:
        raise ValueError(f"{ca_file}: no CA certificates can be read from it ({error})") from error
    return context
