"""How providers prove who they are: the TLS settings of every connection out."""

import ssl
from pathlib import Path


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
