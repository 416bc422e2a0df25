"""Base URLs: which a gateway calls, and so which the control plane takes. Pure.

Stricter than RFC 3986 on purpose: whatever two parsers could read differently is refused.
"""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import NamedTuple

URL_CHARS_MAX = 2_000
SCHEME_PORTS = {"https": 443, "http": 80}
TEMPLATE_FIELD = re.compile(r"\{([a-z_]{1,32})\}")
"""A word of the credential in a provider's base URL: `https://{region}.example.com`."""
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")
_PORT = re.compile(r"[0-9]{1,5}")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


class BaseUrl(NamedTuple):
    """One that was read."""

    scheme: str
    """`https` or `http`."""
    host: str
    """Lower case; an IPv6 literal without brackets."""
    port: int
    prefix: str
    """Of paths, without its last slash; empty if there is none."""


def parse(url: str) -> BaseUrl:
    """Raises ValueError with a sentence that says what is wrong, and repeats nothing of the URL."""
    if len(url) > URL_CHARS_MAX:
        raise ValueError(f"a URL has at most {URL_CHARS_MAX} characters")
    if not _VISIBLE_ASCII.fullmatch(url):
        raise ValueError("a URL is visible ASCII without spaces; write an international host name in its xn-- form")
    if any(mark in url for mark in "\\?#"):
        raise ValueError("a base URL has no backslash, query or fragment")
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in SCHEME_PORTS:
        raise ValueError("a URL begins with https:// or http://")
    authority, _, path = rest.partition("/")
    if "@" in authority:
        raise ValueError("a URL carries no user name or password")
    host, port = _split_authority(authority)
    if port is None:
        return BaseUrl(scheme, host, SCHEME_PORTS[scheme], _prefix(path))
    if not _PORT.fullmatch(port) or not 1 <= int(port) <= 65_535:
        raise ValueError("a port is a number from 1 to 65535")
    return BaseUrl(scheme, host, int(port), _prefix(path))


def parse_template(url: str) -> BaseUrl:
    """Of a provider: words of the credential may stand in it, and are read as their names. Raises ValueError."""
    # What stands for a word is no address yet; its name names the place all the same.
    filled = TEMPLATE_FIELD.sub(lambda field: field[1].replace("_", "-"), url)
    if "{" in filled or "}" in filled:
        raise ValueError("what stands in braces is a word of the credential, in small letters")
    return parse(filled)


def origin(url: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of a provider's address; None of one that gateways do not call.

    Two with the same send whatever stands for their words to the same host. A word is not the host of its name.
    """
    try:
        read = parse_template(url)
    except ValueError:
        return None
    authority = url.partition("://")[2].partition("/")[0].lower()
    return read.scheme, authority if "{" in authority else read.host, read.port


def _prefix(path: str) -> str:
    path = path.rstrip("/")
    return f"/{path}" if path else ""


def _split_authority(authority: str) -> tuple[str, str | None]:
    """The canonical host, and the port as written, None if there is none."""
    if authority.startswith("["):
        literal, bracket, rest = authority[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError("an IPv6 address stands in brackets: [address]:port")
        return _ipv6(literal), rest[1:] if rest else None
    host, colon, port = authority.partition(":")
    return _host(host.lower()), port if colon else None


def _ipv6(literal: str) -> str:
    try:
        address = IPv6Address(literal)
    except AddressValueError:
        raise ValueError("what stands in brackets is no IPv6 address") from None
    if address.scope_id is not None:
        raise ValueError("an IPv6 address in a URL has no zone")
    return str(address)


def _host(host: str) -> str:
    if not host:
        raise ValueError("a URL names a host")
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        # Resolvers read 127.1, 0x7f000001 and 0177.0.0.1 as addresses, each in its own way; only one form is clear.
        try:
            return str(IPv4Address(host))
        except AddressValueError:
            raise ValueError("an IPv4 address is written as four decimal numbers without leading zeros") from None
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("a host name is labels of letters, digits, hyphens and underscores, joined by single dots")
    return host
