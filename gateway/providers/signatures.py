"""Whose a thought's signature is (pure). Its maker alone knows it again; others refuse the conversation that holds it.

Anthropic's bear no mark: through the doors where bytes pass they come and go as they are, also to its models elsewhere.
"""

MARK = "gatehouse:"
"""How a signature begins that somebody else made; no signature holds a colon."""
IN_JSON = b'"gatehouse:'
"""The same as it stands in a body."""
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
