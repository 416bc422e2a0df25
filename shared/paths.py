"""Who serves which `/v1` path, and which door it is: one table for both planes (design section 5)."""

from collections.abc import Mapping
from enum import StrEnum
from urllib.parse import unquote

DIALECT_DOORS: Mapping[str, str] = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "completions",
    "/v1/embeddings": "embeddings",
    "/v1/messages": "messages",
    "/v1/messages/count_tokens": "count_tokens",
    "/v1/responses": "responses",
}
"""What the gateway itself reads and answers, by POST: path → door, the word in records."""

PASSED_DOORS: Mapping[str, str] = {
    **{noun: noun for noun in "images audio moderations rerank files batches".split()},
    "responses": "responses",
}
"""First segment after `/v1/` of what passes on as it comes → door. Every other unreserved path is the door `proxy`."""

PROXY = "proxy"
PASSED_METHODS = frozenset("GET POST PUT PATCH DELETE".split())
GATEWAY_NOUNS = frozenset(("models", "explain", "health"))
"""First segments after `/v1/` that are the gateway's own."""

ADMIN_NOUNS = frozenset(
    "api-keys virtual-keys configs prompts labels collections guardrails integrations providers policies admin scim "
    "secret-references audit-logs analytics model-configs mcp-integrations mcp-servers logs feedback".split()
)
"""First segments after `/v1/` that the control plane owns. They never pass through to a provider."""


class Server(StrEnum):
    GATEWAY = "gateway"
    CONTROL_PLANE = "control_plane"
    PROVIDER = "provider"
    NOBODY = "nobody"


def who_serves(path: str) -> Server:
    """Who answers `path`, which comes without its query; PROVIDER is what passes through when a target is named.

    An admin noun is one in whatever spelling: a provider might read it without regard to case or escapes. Nobody serves
    what is not below `/v1/`, and what two readers could take for different paths.
    """
    if path in DIALECT_DOORS:
        return Server.GATEWAY
    noun = _noun(path)
    if noun in ADMIN_NOUNS:
        return Server.CONTROL_PLANE
    if not is_plain(path):
        return Server.NOBODY
    return Server.GATEWAY if noun in GATEWAY_NOUNS else Server.PROVIDER


def passed_door(path: str) -> str | None:
    """The door of a path that passes through to a provider; None if this one does not."""
    if who_serves(path) is not Server.PROVIDER:
        return None
    return PASSED_DOORS.get(path.split("/", 3)[2], PROXY)


def is_plain(path: str) -> bool:
    """Whether every reader takes `path` for the same one below `/v1/`: visible ASCII, no empty or dot segment, no
    escape that hides a separator or a dot, nothing that ends a path.
    """
    if not path.startswith("/v1/") or not path.isascii() or not path.isprintable() or set(path) & _ENDS_A_PATH:
        return False
    segments = path.split("/")[2:]
    return not any(segment == "" or _hides(segment) for segment in segments)


_ENDS_A_PATH = frozenset(' ?#\\"<>^`{|}')
_SEPARATES = frozenset("/\\?#%.;")


def _hides(segment: str) -> bool:
    """An escape that is none, or that stands for what separates; a segment of dots; parameters of a segment."""
    if segment.strip(".") == "" or ";" in segment:
        return True
    rest = segment
    while (at := rest.find("%")) >= 0:
        digits = rest[at + 1 : at + 3]
        if len(digits) < 2 or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
            return True
        character = chr(int(digits, 16))
        if character in _SEPARATES or character < " " or character == "\x7f":
            return True
        rest = rest[at + 3 :]
    return False


def _noun(path: str) -> str:
    """The first segment after `/v1/` as the most lenient reader would take it."""
    segments = [segment for segment in unquote(path, errors="replace").split("/") if segment not in ("", ".")]
    return segments[1].lower() if len(segments) > 1 and segments[0].lower() == "v1" else ""
