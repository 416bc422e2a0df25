"""Whose a thought's signature is (pure). Its maker alone knows it again; others refuse the conversation that holds it.

Anthropic's bear no mark: through the doors where bytes pass they come and go as they are, also to its models elsewhere.
At the door of responses, whose dialect it does not speak, they bear one too: what has none there was made by a provider
that does speak it, and is nothing to anybody else.
"""

MARK = "gatehouse:"
"""How a signature begins that somebody else made; no signature holds a colon."""
IN_JSON = b'"gatehouse:'
"""The same as it stands in a body."""
_SEALED = "gatehouse:sealed:"
"""The same, of a whole thought that only its provider can read."""
UNSIGNED = "gatehouse:none:"
"""What callers of messages and responses are given for the signature of a thought that nobody signed: whoever speaks
these dialects itself takes no thought without one of its own.
"""
ANTHROPIC = ""
GOOGLE = "google"
MISTRAL = "mistral"


def marked(signature: str, maker: str) -> str:
    """As callers are given it."""
    return f"{MARK}{maker}:{signature}"


def own(signature: str, maker: str | None) -> str:
    """As its maker knows it; empty if somebody else made it. None: the provider knows no signatures."""
    if maker is None:
        return ""
    if maker == ANTHROPIC:
        return "" if signature.startswith(MARK) else signature
    mark = marked("", maker)
    # Of a stream each piece is marked.
    return signature.replace(mark, "") if signature.startswith(mark) else ""


def is_marked(signature: object) -> bool:
    return isinstance(signature, str) and signature.startswith(MARK)


def at_responses(signature: str, *, sealed: bool) -> str:
    """A signature, or a sealed thought, as the door of responses gives it."""
    if sealed:
        return _SEALED + signature
    if not signature:
        return UNSIGNED
    return signature if is_marked(signature) else marked(signature, ANTHROPIC)


def from_responses(signature: str) -> tuple[str, str]:
    """The signature as other doors have it, or the sealed thought. Both empty: its maker speaks responses itself."""
    if signature == UNSIGNED:
        return "", ""
    if signature.startswith(_SEALED):
        return "", signature.removeprefix(_SEALED)
    return (signature.removeprefix(marked("", ANTHROPIC)) if is_marked(signature) else ""), ""
